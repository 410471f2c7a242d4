using System.CommandLine;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate plan …</c>.</summary>
internal static class PlanCommands
{
    public static Command Create()
    {
        var verbs = new ObjectVerbs("plan", "plans", ("PLAN", Cell.Of("name")), ("", Cell.Flag("suspended", "suspended")));
        return new Command("plan", "Plans: what subscriptions have in common.").With(
            verbs.Add((_, _) => Task.CompletedTask),
            verbs.Show(p => Output.Fields(("plan", Cell.Text(p["name"])), ("state", Cell.Flag("suspended", "suspended")(p)))),
            verbs.List(), verbs.Suspend(), verbs.Resume(), verbs.Remove());
    }
}
