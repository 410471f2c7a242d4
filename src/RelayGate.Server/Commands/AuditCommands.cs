using System.CommandLine;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate audit …</c>: who changed what by hand.</summary>
internal static class AuditCommands
{
    private static readonly Option<string?> Object = new("--object") { Description = "Only of this object, as the list names it: \"mailbox info@shop.test\", server.", HelpName = "OBJECT" };
    private static readonly Option<string?> Since = new("--since") { Description = "Not before this time (2026-01-31T12:00Z) or this long ago (90s, 15m, 2h, 7d).", HelpName = "TIME" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("audit", "The audit list: who changed what, when, before and after.").With(
            paging.AddTo(new Command("list", "List what was changed by hand, newest first.").With(Object, Since)).Does(async (parsed, client, output, cancellationToken) =>
                output.List(
                    await client.GetAsync("audit" + paging.Query(parsed, ("object", parsed.GetValue(Object)), ("since", Moment.Of(parsed.GetValue(Since)))), cancellationToken),
                    "nothing was changed",
                    ("TIME (UTC)", Cell.Time("at")), ("BY", Cell.Of("by")), ("WHAT", Cell.Of("what")), ("OBJECT", Cell.Of("object")), ("BEFORE", Cell.Of("before")), ("AFTER", Cell.Of("after")))));
    }
}
