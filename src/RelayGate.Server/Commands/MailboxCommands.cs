using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate mailbox …</c>.</summary>
internal static class MailboxCommands
{
    public static Command Create()
    {
        var verbs = new ObjectVerbs(
            "mailbox", "mailboxes", ("MAILBOX", Cell.Of("name")), ("DOMAIN", Cell.Of("domain")), ("LOGIN", Cell.Flag("hasPassword", "yes")), ("", Cell.Flag("suspended", "suspended")));
        return new Command("mailbox", "Mailboxes: addresses that log in and send.").With(
            verbs.Add(FillAsync, Secrets.PasswordStdin),
            verbs.Set(FillAsync, Secrets.PasswordStdin),
            verbs.Show(m => Output.Fields(
                ("mailbox", Cell.Text(m["name"])), ("domain", Cell.Text(m["domain"])), ("login", (bool?)m["hasPassword"] == true ? "with password" : "no password"),
                ("state", Cell.Flag("suspended", "suspended")(m)))),
            verbs.List((new Option<string?>("--domain") { Description = "Only those of this domain.", HelpName = "DOMAIN" }, "domain")),
            verbs.Suspend(), verbs.Resume(), verbs.Remove());
    }

    private static async Task FillAsync(ParseResult parsed, JsonObject body)
    {
        if (parsed.GetValue(Secrets.PasswordStdin))
            body["password"] = await Secrets.ReadPasswordAsync();
    }
}
