using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate mailbox …</c>.</summary>
internal static class MailboxCommands
{
    private static readonly Option<string[]> Alias = new("--alias") { Description = "A further address it may send as; may be repeated. Nobody logs in with one.", HelpName = "ADDRESS" };
    private static readonly Option<string[]> RemoveAlias = new("--remove-alias") { Description = "An alias to take away.", HelpName = "ADDRESS" };

    public static Command Create()
    {
        var verbs = new ObjectVerbs(
            "mailbox", "mailboxes", ("MAILBOX", Cell.Of("name")), ("DOMAIN", Cell.Of("domain")), ("LOGIN", Cell.Flag("hasPassword", "yes")), ("ALIASES", Aliases), ("", Cell.Flag("suspended", "suspended")));
        return new Command("mailbox", "Mailboxes: addresses that log in and send.").With(
            verbs.Add(FillAsync, Secrets.PasswordStdin, Alias),
            verbs.Set(FillAsync, Secrets.PasswordStdin, Alias, RemoveAlias),
            verbs.Show(m => Output.Fields([
                ("mailbox", Cell.Text(m["name"])), ("domain", Cell.Text(m["domain"])), ("login", (bool?)m["hasPassword"] == true ? "with password" : "no password"),
                ("aliases", Aliases(m)), .. SenderCommands.Use(m),
                ("state", Cell.Flag("suspended", "suspended")(m))])),
            verbs.List((new Option<string?>("--domain") { Description = "Only those of this domain.", HelpName = "DOMAIN" }, "domain")),
            verbs.Suspend(), verbs.Resume(), verbs.Remove());
    }

    private static string Aliases(JsonNode m) => string.Join(", ", (m["aliases"] as JsonArray ?? []).Select(Cell.Text));

    private static async Task FillAsync(ParseResult parsed, JsonObject body)
    {
        if (parsed.GetValue(Secrets.PasswordStdin))
            body["password"] = await Secrets.ReadPasswordAsync();
        Fields.SetList(body, "aliases", parsed.GetValue(Alias));
        if (parsed.CommandResult.Command.Name == "set")
            Fields.SetList(body, "removeAliases", parsed.GetValue(RemoveAlias));
    }
}
