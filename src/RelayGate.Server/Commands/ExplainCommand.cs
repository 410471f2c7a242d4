using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate explain</c>: what would happen to a message, by the same code, without sending it.</summary>
internal static class ExplainCommand
{
    private static readonly Option<string?> As = new("--as") { Description = "The login: a mailbox's address, or the name of a sender.", HelpName = "LOGIN" };
    private static readonly Option<string?> Uid = new("--uid") { Description = "A system user, by number or name, in place of a login.", HelpName = "N|NAME" };
    private static readonly Option<string?> Client = new("--client") { Description = "A client's address, in place of a login.", HelpName = "ADDRESS" };
    private static readonly Option<string?> From = new("--from", "-f") { Description = "Reverse-path (default: the login); \"\" for the null one.", HelpName = "A" };
    private static readonly Option<string?> HeaderFrom = new("--header-from") { Description = "What stands in the From field (default: as --from).", HelpName = "A" };
    private static readonly Option<string[]> To = new("--to", "-t") { Description = "A recipient; may be repeated.", HelpName = "B", Required = true };

    public static Command Create() => new Command("explain", "Say what would happen to a message, and why, without sending it.").With(As, Uid, Client, From, HeaderFrom, To)
        .Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            Fields.Set(body, "login", parsed.GetValue(As));
            Fields.Set(body, "uid", parsed.GetValue(Uid)?.TrimStart('#'));
            Fields.Set(body, "client", parsed.GetValue(Client));
            if (body.Count != 1)
                throw new CliException(ExitCode.Usage, "say who sends: one of --as LOGIN, --uid N, --client ADDRESS");
            Fields.Set(body, "from", parsed.GetValue(From));
            Fields.Set(body, "headerFrom", parsed.GetValue(HeaderFrom));
            Fields.SetList(body, "to", parsed.GetValue(To));
            JsonNode record = await client.PostAsync("explain", body, cancellationToken);
            return output.Show(record, () => MessageCommands.PrintLines(Story.Of(record).SkipLast(1).Append($"          verdict   {Cell.Text(record["verdict"])} (dry run: nothing was sent or counted)")));
        });
}
