using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate sender …</c>: application passwords beside those of mailboxes.</summary>
internal static class SenderCommands
{
    private static readonly ObjectVerbs Verbs = new(
        "sender", "senders",
        ("SENDER", Cell.Of("name")), ("OF", Of), ("SUBSCRIPTION", Cell.Of("subscription")), ("LAST USE (UTC)", Cell.Time("lastUse")), ("USES", Cell.Of("uses")),
        ("FAILURES", Cell.Of("failures")), ("", Cell.Flag("suspended", "suspended")));

    private static readonly Option<string?> Mailbox = new("--mailbox") { Description = "It sends as this mailbox.", HelpName = "ADDRESS" };
    private static readonly Option<string?> Domain = new("--domain") { Description = "It sends as any address of this domain.", HelpName = "DOMAIN" };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "It sends as any address of this subscription's domains.", HelpName = "NAME" };
    private static readonly Option<string?> Grace = new("--grace") { Description = "How long the old password stays valid beside the new one (30m, 2h, 7d; at most 30 days). Default: not at all.", HelpName = "TIME" };

    public static Command Create() => new Command("sender", "Senders: logins beside mailboxes, each with an application password.").With(
        new Command("create", "Create a sender. Without --password-stdin a password is made and shown this once.").With(Verbs.Name, Mailbox, Domain, Subscription, Secrets.PasswordStdin)
            .Does(async (parsed, client, output, cancellationToken) =>
            {
                var body = new JsonObject { ["name"] = parsed.GetRequiredValue(Verbs.Name) };
                Fields.Set(body, "mailbox", parsed.GetValue(Mailbox));
                Fields.Set(body, "domain", parsed.GetValue(Domain));
                Fields.Set(body, "subscription", parsed.GetValue(Subscription));
                if (body.Count != 2)
                    throw new CliException(ExitCode.Usage, "say what it is of: one of --mailbox ADDRESS, --domain DOMAIN, --subscription NAME");
                await FillPasswordAsync(parsed, body);
                return Password(output, await client.PostAsync("senders", body, cancellationToken), "created");
            }),
        Verbs.List(
            (new Option<string?>("--mailbox") { Description = "Only those of this mailbox.", HelpName = "ADDRESS" }, "mailbox"),
            (new Option<string?>("--domain") { Description = "Only those of this domain itself.", HelpName = "DOMAIN" }, "domain"),
            (new Option<string?>("--subscription") { Description = "Only those of this subscription, its domains and mailboxes.", HelpName = "NAME" }, "subscription")),
        Verbs.Show(Print),
        new Command("rotate", "Give a sender a new password; the old one ends at once, in open sessions too.").With(Verbs.Name, Grace, Secrets.PasswordStdin)
            .Does(async (parsed, client, output, cancellationToken) =>
            {
                var body = new JsonObject();
                if (parsed.GetValue(Grace) is { } grace)
                {
                    body["graceSeconds"] = Moment.Span(grace) is { TotalSeconds: <= int.MaxValue } span
                        ? (int)span.TotalSeconds
                        : throw new CliException(ExitCode.Usage, $"--grace is '{grace}': a time like 30m, 2h or 7d is expected");
                }
                await FillPasswordAsync(parsed, body);
                return Password(output, await client.PostAsync($"{Verbs.PathTo(parsed.GetRequiredValue(Verbs.Name))}/rotate", body, cancellationToken), "has a new password");
            }),
        new Command("revoke", "Remove a sender; its open sessions send no more.").With(Verbs.Name).Does(async (parsed, client, output, cancellationToken) =>
            output.Done(await client.DeleteAsync(Verbs.PathTo(parsed.GetRequiredValue(Verbs.Name)), cancellationToken), $"sender {parsed.GetRequiredValue(Verbs.Name)} revoked")),
        Verbs.Suspend(), Verbs.Resume());

    private static async Task FillPasswordAsync(ParseResult parsed, JsonObject body)
    {
        if (parsed.GetValue(Secrets.PasswordStdin))
            body["password"] = await Secrets.ReadPasswordAsync();
    }

    private static int Password(Output output, JsonNode answer, string done) => output.Show(answer, () =>
    {
        Console.WriteLine(Output.Clean($"sender {Cell.Text(answer["name"])} {done}"));
        if (Cell.Text(answer["password"]) is { } password)
            Console.WriteLine($"password {password} (shown this once, and stored nowhere in the clear)");
        if (Cell.Time(answer["oldPasswordUntil"]) is { } until)
            Console.WriteLine($"the old password is valid until {until} UTC");
    });

    private static void Print(JsonNode s) => Output.Fields([
        ("sender", Cell.Text(s["name"])), ("of", Of(s)), ("subscription", Cell.Text(s["subscription"])), ("created", Utc(s, "createdAt")), .. Use(s),
        ("state", Cell.Flag("suspended", "suspended")(s))]);

    /// <summary>How a login was used, as sender and mailbox are shown.</summary>
    internal static (string Name, string? Value)[] Use(JsonNode s) =>
    [
        ("password set", Utc(s, "passwordSetAt")), ("old one until", Utc(s, "oldPasswordUntil")), ("last use", Utc(s, "lastUse") ?? "never"), ("uses", Cell.Text(s["uses"])),
        ("from", Cell.Text(s["addresses"])), ("failures", Cell.Text(s["failures"])), ("last failure", Utc(s, "lastFailure")),
    ];

    private static string? Utc(JsonNode s, string name) => Cell.Time(s[name]) is { } time ? $"{time} UTC" : null;

    private static string Of(JsonNode s) => $"{Cell.Text(s["level"])} {Cell.Text(s["object"])}";
}
