using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate domain …</c>.</summary>
internal static class DomainCommands
{
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "The subscription it belongs to.", HelpName = "NAME" };
    private static readonly Option<string?> IPv4 = new("--ipv4") { Description = "An address of its own in place of the subscription's; \"none\": no longer.", HelpName = "ADDRESS" };
    private static readonly Option<string?> IPv6 = new("--ipv6") { Description = "As --ipv4.", HelpName = "ADDRESS" };
    private static readonly SenderRuleOptions Rules = new("as the subscription");

    public static Command Create()
    {
        var verbs = new ObjectVerbs(
            "domain", "domains",
            ("DOMAIN", Cell.Of("name")), ("SUBSCRIPTION", Cell.Of("subscription")), ("IPV4", Cell.Of("ipv4")), ("IPV6", Cell.Of("ipv6")), ("", Cell.Flag("suspended", "suspended")));
        return new Command("domain", "Domains that subscriptions send from.").With(
            verbs.Add(FillAsync, Subscription, IPv4, IPv6, Rules.Sender, Rules.HeaderFrom, Rules.Owned),
            verbs.Set(FillAsync, IPv4, IPv6, Rules.Sender, Rules.HeaderFrom, Rules.Owned),
            verbs.Show(d => Output.Fields([
                ("domain", Cell.Text(d["name"])), ("subscription", Cell.Text(d["subscription"])), ("ipv4", Cell.Text(d["ipv4"])), ("ipv6", Cell.Text(d["ipv6"])),
                .. SenderRuleOptions.Shown(d), ("state", Cell.Flag("suspended", "suspended")(d))])),
            verbs.List((new Option<string?>("--subscription") { Description = "Only those of this subscription.", HelpName = "NAME" }, "subscription")),
            verbs.Suspend(), verbs.Resume(), verbs.Remove());
    }

    private static Task FillAsync(ParseResult parsed, JsonObject body)
    {
        if (parsed.CommandResult.Command.Name == "add")
            body["subscription"] = parsed.GetValue(Subscription) ?? throw new CliException(ExitCode.Usage, "a domain belongs to a subscription: --subscription NAME");
        Fields.SetOrNone(body, "ipv4", parsed.GetValue(IPv4));
        Fields.SetOrNone(body, "ipv6", parsed.GetValue(IPv6));
        Rules.Fill(parsed, body);
        return Task.CompletedTask;
    }
}
