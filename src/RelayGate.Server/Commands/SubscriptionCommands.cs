using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate subscription …</c>.</summary>
internal static class SubscriptionCommands
{
    private static readonly Option<string?> Plan = new("--plan") { Description = "The plan it belongs to; without one, only its own limits and the server's hold.", HelpName = "PLAN" };
    private static readonly Option<string?> IPv4 = new("--ipv4") { Description = "Its IPv4 address; one not known yet is created exclusive. \"none\": no longer any.", HelpName = "ADDRESS" };
    private static readonly Option<string?> IPv6 = new("--ipv6") { Description = "Its IPv6 address; \"none\": no longer any.", HelpName = "ADDRESS" };
    private static readonly Option<string[]> SystemUser = new("--system-user") { Description = "A system user whose local mail is this subscription's; may be repeated.", HelpName = "NAME|#UID" };
    private static readonly Option<string[]> RemoveSystemUser = new("--remove-system-user") { Description = "A system user to take away.", HelpName = "NAME|#UID" };
    private static readonly Option<bool> SharedUid = new("--shared-uid") { Description = "The named system users are shared by many sites (mod_php): the sender's domain chooses the subscription." };
    private static readonly Option<string?> Contact = new("--contact") { Description = "Address that gets mail for its system users; \"none\": no longer any.", HelpName = "ADDRESS" };
    private static readonly Option<string?> IPv6Egress = new("--ipv6-egress") { Description = "Whether its mail leaves by IPv6: on, off, or default (as the server's).", HelpName = "on|off|default" };
    private static readonly SenderRuleOptions Rules = new("as configured");

    public static Command Create()
    {
        var verbs = new ObjectVerbs(
            "subscription", "subscriptions",
            ("SUBSCRIPTION", Cell.Of("name")), ("PLAN", Cell.Of("plan")), ("IPV4", Cell.Of("ipv4")), ("IPV6", Cell.Of("ipv6")),
            ("SYSTEM USERS", Users), ("CONTACT", Cell.Of("contact")), ("", Cell.Flag("suspended", "suspended")));
        return new Command("subscription", "Subscriptions: customers with their addresses, domains and system users.").With(
            verbs.Add(FillAsync, Plan, IPv4, IPv6, IPv6Egress, SystemUser, SharedUid, Contact, Rules.Sender, Rules.HeaderFrom, Rules.Owned),
            verbs.Set(FillAsync, Plan, IPv4, IPv6, IPv6Egress, SystemUser, RemoveSystemUser, SharedUid, Contact, Rules.Sender, Rules.HeaderFrom, Rules.Owned),
            verbs.Show(Print),
            verbs.List((new Option<string?>("--plan") { Description = "Only those of this plan.", HelpName = "PLAN" }, "plan")),
            verbs.Suspend(), verbs.Resume(), verbs.Remove());
    }

    private static Task FillAsync(ParseResult parsed, JsonObject body)
    {
        Fields.Set(body, "plan", parsed.GetValue(Plan));
        Fields.SetOrNone(body, "ipv4", parsed.GetValue(IPv4));
        Fields.SetOrNone(body, "ipv6", parsed.GetValue(IPv6));
        Fields.Set(body, "ipv6Egress", parsed.GetValue(IPv6Egress));
        Fields.SetOrNone(body, "contact", parsed.GetValue(Contact));
        Rules.Fill(parsed, body);
        Fields.SetList(body, "systemUsers", parsed.GetValue(SystemUser));
        if (parsed.CommandResult.Command.Name == "set")
            Fields.SetList(body, "removeSystemUsers", parsed.GetValue(RemoveSystemUser));
        if (parsed.GetValue(SharedUid))
            body["sharedUid"] = true;
        return Task.CompletedTask;
    }

    private static void Print(JsonNode s) => Output.Fields([
        ("subscription", Cell.Text(s["name"])), ("plan", Cell.Text(s["plan"])), ("ipv4", Cell.Text(s["ipv4"])), ("ipv6", Cell.Text(s["ipv6"])), ("ipv6 egress", Cell.Text(s["ipv6Egress"])),
        ("system users", Users(s)), ("contact", Cell.Text(s["contact"])),
        ("first domain", Cell.Text(s["firstDomain"])), .. SenderRuleOptions.Shown(s), ("state", Cell.Flag("suspended", "suspended")(s))]);

    private static string Users(JsonNode s) => string.Join(
        ", ", (s["systemUsers"] as JsonArray ?? []).Select(u => $"{u!["name"]} ({u["uid"]}{((bool?)u["shared"] == true ? ", shared" : "")})"));
}
