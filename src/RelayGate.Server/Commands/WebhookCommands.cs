using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate webhook …</c>: programs that are told of notices.</summary>
internal static class WebhookCommands
{
    private const int MaxUrl = 2000;

    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the webhook." };
    private static readonly Argument<string?> Url = new("URL") { Description = "Where to post to: https://hooks.example.net/relaygate", Arity = ArgumentArity.ZeroOrOne };
    private static readonly Argument<string> Delivery = new("ID") { Description = "Of the history." };
    private static readonly Option<string[]> Events = new("--event") { Description = "Only these; given several times (default: all).", HelpName = "EVENT" };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Only about what is this subscription's.", HelpName = "NAME" };
    private static readonly Option<bool> AllowHttp = new("--allow-http") { Description = "Allow http: everybody on the way can read along." };
    private static readonly Option<bool> AllowPrivate = new("--allow-private") { Description = "Allow addresses of this host and its network." };
    private static readonly Option<bool> SecretStdin = new("--secret-stdin") { Description = "Read the secret (whsec_…) from standard input instead of making one." };
    private static readonly Option<bool> UrlStdin = new("--url-stdin") { Description = "Read the URL from standard input: for one with a secret in it, as other users of the host see arguments." };
    private static readonly Option<int?> Overlap = new("--overlap-hours") { Description = "Sign with the old secret as well for so long (default: 24).", HelpName = "N" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("webhook", "Webhooks: programs that are told of notices (Standard Webhooks).").With(
            new Command("add", "Tell a program of notices. Its secret is shown once.").With(Name, Url, Events, Subscription, AllowHttp, AllowPrivate, UrlStdin, SecretStdin).Does(async (parsed, client, output, cancellationToken) =>
            {
                var body = new JsonObject
                {
                    ["name"] = parsed.GetRequiredValue(Name),
                    ["url"] = await UrlAsync(parsed),
                    ["allowHttp"] = parsed.GetValue(AllowHttp),
                    ["allowPrivate"] = parsed.GetValue(AllowPrivate),
                };
                Fields.SetList(body, "events", parsed.GetValue(Events));
                Fields.Set(body, "subscription", parsed.GetValue(Subscription));
                await FillSecretAsync(parsed, body);
                JsonNode answer = await client.PostAsync("webhooks", body, cancellationToken);
                return output.Show(answer, () => PrintSecret(answer, $"webhook {parsed.GetRequiredValue(Name)} added"));
            }),
            new Command("list", "List all webhooks.").Does(async (_, client, output, cancellationToken) =>
                output.List(await client.GetAsync("webhooks", cancellationToken), "no webhook yet",
                    ("WEBHOOK", Cell.Of("name")), ("URL", Cell.Of("url")), ("EVENTS", Cell.Of("events")), ("SUBSCRIPTION", Cell.Of("subscription")), ("WAITING", Cell.Of("waiting")), ("", Cell.Of("disabled")))),
            new Command("show", "Show a webhook.").With(Name).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode hook = await client.GetAsync(PathTo(parsed), cancellationToken);
                return output.Show(hook, () => Output.Fields(
                    ("webhook", Cell.Text(hook["name"])), ("url", Cell.Text(hook["url"])), ("events", Cell.Text(hook["events"])), ("subscription", Cell.Text(hook["subscription"])),
                    ("http", Cell.Flag("allowHttp", "allowed")(hook)), ("private addresses", Cell.Flag("allowPrivate", "allowed")(hook)), ("secrets", Cell.Text(hook["secrets"])),
                    ("waiting", Cell.Text(hook["waiting"])), ("added", Cell.Time(hook["createdAt"])), ("disabled", Cell.Text(hook["disabled"]))));
            }),
            new Command("remove", "Remove a webhook with its history.").With(Name).Does(async (parsed, client, output, cancellationToken) =>
                output.Done(await client.DeleteAsync(PathTo(parsed), cancellationToken), $"webhook {parsed.GetRequiredValue(Name)} removed")),
            new Command("rotate", "Give a webhook a new secret; the old one signs as well for a while.").With(Name, Overlap, SecretStdin).Does(async (parsed, client, output, cancellationToken) =>
            {
                var body = new JsonObject();
                if (parsed.GetValue(Overlap) is { } hours)
                    body["overlapHours"] = hours;
                await FillSecretAsync(parsed, body);
                JsonNode answer = await client.PostAsync($"{PathTo(parsed)}/rotate", body, cancellationToken);
                return output.Show(answer, () => PrintSecret(answer, $"webhook {parsed.GetRequiredValue(Name)} has a new secret"));
            }),
            new Command("enable", "Deliver again to a webhook that answered 410.").With(Name).Does(async (parsed, client, output, cancellationToken) =>
                output.Done(await client.PostAsync($"{PathTo(parsed)}/enable", null, cancellationToken), $"webhook {parsed.GetRequiredValue(Name)} enabled")),
            new Command("test", "Post a test event now and say what came of it.").With(Name).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode delivery = await client.PostAsync($"{PathTo(parsed)}/test", null, cancellationToken);
                output.Done(delivery, $"{Cell.Text(delivery["state"])}: {Outcome(delivery)}");
                return Cell.Text(delivery["state"]) == "delivered" ? ExitCode.Ok : ExitCode.Failed;
            }),
            paging.AddTo(new Command("history", "List what was delivered to a webhook, newest first.").With(Name)).Does(async (parsed, client, output, cancellationToken) =>
                output.List(await client.GetAsync($"{PathTo(parsed)}/deliveries" + paging.Query(parsed), cancellationToken), "nothing was delivered yet",
                    ("TIME (UTC)", Cell.Time("at")), ("EVENT", Cell.Of("event")), ("STATE", Cell.Of("state")), ("ATTEMPTS", static d => (d["attempts"] as JsonArray)?.Count.ToString()),
                    ("LAST", Outcome), ("NEXT (UTC)", Cell.Time("nextAttempt")), ("ID", Cell.Of("id")))),
            new Command("redeliver", "Deliver once more, with the same id.").With(Delivery).Does(async (parsed, client, output, cancellationToken) =>
            {
                string id = parsed.GetRequiredValue(Delivery);
                JsonNode delivery = await client.PostAsync($"webhook-deliveries/{Uri.EscapeDataString(id)}/redeliver", null, cancellationToken);
                return output.Done(delivery, $"to be delivered now; see: relaygate webhook history {Cell.Text(delivery["webhook"])}");
            }));
    }

    /// <summary>What came of the last attempt, in words.</summary>
    internal static string Outcome(JsonNode delivery) => (delivery["attempts"] as JsonArray)?.LastOrDefault() is not { } last ? "not attempted yet"
        : Cell.Text(last["error"]) is { Length: > 0 } error ? error
        : $"answered {Cell.Text(last["status"])} in {Cell.Text(last["seconds"])} s";

    private static string PathTo(ParseResult parsed) => $"webhooks/{Uri.EscapeDataString(parsed.GetRequiredValue(Name))}";

    private static void PrintSecret(JsonNode answer, string line)
    {
        Console.WriteLine(Output.Clean(line));
        if (Cell.Text(answer["secret"]) is { } secret)
            Console.WriteLine($"secret {secret} (shown this once)");
    }

    private static async Task<string> UrlAsync(ParseResult parsed)
    {
        string? given = parsed.GetValue(Url);
        if (!parsed.GetValue(UrlStdin))
            return given ?? throw new CliException(ExitCode.Usage, "name a URL, or give it by standard input: --url-stdin");
        if (given is not null)
            throw new CliException(ExitCode.Usage, "give the URL as an argument or by --url-stdin, not both");
        if (parsed.GetValue(SecretStdin))
            throw new CliException(ExitCode.Usage, "standard input holds one of them: add the webhook with --url-stdin, then set its secret with: relaygate webhook rotate NAME --secret-stdin --overlap-hours 0");
        return await Secrets.ReadAsync("URL", MaxUrl);
    }

    private static async Task FillSecretAsync(ParseResult parsed, JsonObject body)
    {
        if (parsed.GetValue(SecretStdin))
            body["secret"] = await Secrets.ReadPasswordAsync();
    }
}
