using System.CommandLine;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate uid …</c>: system users as senders.</summary>
internal static class UidCommands
{
    public static Command Create()
    {
        var verbs = new ObjectVerbs(
            "uid", "uids",
            ("UID", Cell.Of("uid")), ("NAME", Cell.Of("name")), ("SUBSCRIPTION", Cell.Of("subscription")), ("", Cell.Flag("shared", "shared")),
            ("LAST USE (UTC)", Cell.Time("lastUse")), ("USES", Cell.Of("uses")), ("", Cell.Flag("suspended", "suspended")));
        return new Command("uid", "System users whose local mail is a subscription's; they are given by: relaygate subscription set --system-user.").With(
            verbs.List((new Option<string?>("--subscription") { Description = "Only those of this subscription.", HelpName = "NAME" }, "subscription")),
            verbs.Suspend(), verbs.Resume());
    }
}
