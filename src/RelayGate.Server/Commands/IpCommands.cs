using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate ip …</c>: local addresses that mail leaves from.</summary>
internal static class IpCommands
{
    private static readonly Argument<string> Address = new("ADDRESS") { Description = "An IPv4 or IPv6 address of this host." };
    private static readonly Option<string?> Helo = new("--helo") { Description = "The name it greets with; \"none\": Hostname.", HelpName = "NAME" };
    private static readonly Option<bool> Shared = new("--shared") { Description = "Several subscriptions may use it (--shared false: one only)." };

    public static Command Create() => new Command("ip", "Addresses that mail leaves from.").With(
        new Command("add", "Make an address known.").With(Address, Helo, Shared).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["address"] = parsed.GetRequiredValue(Address), ["shared"] = parsed.GetValue(Shared) };
            Fields.SetOrNone(body, "helo", parsed.GetValue(Helo));
            return output.Done(await client.PostAsync("addresses", body, cancellationToken), $"address {parsed.GetRequiredValue(Address)} added");
        }),
        new Command("set", "Change an address.").With(Address, Helo, Shared).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            Fields.SetOrNone(body, "helo", parsed.GetValue(Helo));
            if (parsed.GetResult(Shared) is { Implicit: false })
                body["shared"] = parsed.GetValue(Shared);
            if (body.Count == 0)
                throw new CliException(ExitCode.Usage, "nothing to change: name --helo or --shared");
            return output.Done(await client.PatchAsync(PathTo(parsed), body, cancellationToken), $"address {parsed.GetRequiredValue(Address)} changed");
        }),
        new Command("list", "List all addresses.").Does(async (_, client, output, cancellationToken) =>
            output.List(await client.GetAsync("addresses", cancellationToken), "no address yet",
                ("ADDRESS", Cell.Of("address")), ("HELO", Cell.Of("helo")), ("USE", i => (bool?)i["shared"] == true ? "shared" : "exclusive"), ("SUBSCRIPTION", Cell.Of("subscription")))),
        new Command("show", "Show an address.").With(Address).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode a = await client.GetAsync(PathTo(parsed), cancellationToken);
            return output.Show(a, () => Output.Fields(("address", Cell.Text(a["address"])), ("helo", Cell.Text(a["helo"])),
                ("use", (bool?)a["shared"] == true ? "shared" : "exclusive"), ("subscription", Cell.Text(a["subscription"]))));
        }),
        new Command("remove", "Forget an address that nothing uses.").With(Address).Does(async (parsed, client, output, cancellationToken) =>
            output.Done(await client.DeleteAsync(PathTo(parsed), cancellationToken), $"address {parsed.GetRequiredValue(Address)} removed")));

    private static string PathTo(ParseResult parsed) => $"addresses/{Uri.EscapeDataString(parsed.GetRequiredValue(Address))}";
}
