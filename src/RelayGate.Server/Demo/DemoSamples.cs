using System.Security.Cryptography;
using System.Text.Json.Nodes;
using RelayGate.Hosting;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Demo;

/// <summary>The demo's plan, subscription, domain, mailbox, limits and key: made by the same API as any other.</summary>
internal sealed class DemoSamples(string controlSocket)
{
    public const string Plan = "basic";
    public const string Subscription = "acme";
    public const string Domain = "shop.test";
    public const string Mailbox = "info@shop.test";
    public const string Address = "127.0.0.11";

    private const string PasswordAlphabet = "23456789abcdefghjkmnpqrstuvwxyz";

    /// <summary>Creates what is not there yet (with --keep it may be) and gives the mailbox a new password.</summary>
    /// <returns>The password.</returns>
    public async Task<string> CreateAsync(CancellationToken cancellationToken)
    {
        string password = $"demo-{RandomNumberGenerator.GetString(PasswordAlphabet, 4)}-{RandomNumberGenerator.GetString(PasswordAlphabet, 4)}";
        using var client = new ControlClient(controlSocket);
        bool isNew = await AddAsync(client, "plans", new JsonObject { ["name"] = Plan }, cancellationToken);
        var subscription = new JsonObject { ["name"] = Subscription, ["plan"] = Plan, ["ipv4"] = Address, ["contact"] = "owner@shop.test" };
        if (GatewayProcess.UserId is > 0 and var uid) // So that the sendmail command works for whoever runs the demo; root belongs to "system" as it is.
            subscription["systemUsers"] = new JsonArray($"#{uid}");
        await AddAsync(client, "subscriptions", subscription, cancellationToken);
        await AddAsync(client, "domains", new JsonObject { ["name"] = Domain, ["subscription"] = Subscription }, cancellationToken);
        if (!await AddAsync(client, "mailboxes", new JsonObject { ["name"] = Mailbox, ["password"] = password }, cancellationToken))
            await client.PatchAsync($"mailboxes/{Mailbox}", new JsonObject { ["password"] = password }, cancellationToken);
        if (!isNew)
            return password;
        foreach ((string level, string name, string value) in new[] { ("plan", Plan, "1000/h"), ("subscription", Subscription, "200/h"), ("domain", Domain, "50/h"), ("mailbox", Mailbox, "5/h") })
            await client.PutAsync("limits", new JsonObject { ["level"] = level, ["name"] = name, ["value"] = value }, cancellationToken);
        await client.PostAsync("dkim", new JsonObject { ["domain"] = Domain, ["selector"] = "rg1" }, cancellationToken);
        return password;
    }

    private static async Task<bool> AddAsync(ControlClient client, string collection, JsonObject body, CancellationToken cancellationToken)
    {
        try
        {
            await client.PostAsync(collection, body, cancellationToken);
            return true;
        }
        catch (CliException error) when (error.ExitCode == ExitCode.Conflict)
        {
            return false;
        }
    }
}
