using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary>What subscription and domain say of senders: the options that set it, and how it is shown.</summary>
internal sealed class SenderRuleOptions
{
    /// <param name="above">What a rule that is not set here is taken from.</param>
    public SenderRuleOptions(string above)
    {
        Sender = Rule("--sender", $"correct, reject or trust a reverse-path that is not the sender's own; inherit: {above}.", "MODE");
        HeaderFrom = Rule("--header-from", $"Where the header From is not the sender's own: off, sender (add a Sender field), rewrite, refuse; inherit: {above}.", "MODE");
        Owned = Rule("--owned", $"What a login may send as: mailbox, aliases, domain, subscription; inherit: {above}.", "WHICH");
    }

    public Option<string?> Sender { get; }

    public Option<string?> HeaderFrom { get; }

    public Option<string?> Owned { get; }

    public void Fill(ParseResult parsed, JsonObject body)
    {
        Fields.Set(body, "sender", parsed.GetValue(Sender));
        Fields.Set(body, "headerFrom", parsed.GetValue(HeaderFrom));
        Fields.Set(body, "owned", parsed.GetValue(Owned));
    }

    /// <summary>The rules in force, each with where it was set.</summary>
    public static (string Name, string? Value)[] Shown(JsonNode o)
    {
        JsonNode? rules = o["inForce"];
        return
        [
            ("sender, logins", Rule(rules?["sender"]?["login"])), ("sender, local", Rule(rules?["sender"]?["local"])), ("sender, networks", Rule(rules?["sender"]?["network"])),
            ("header From", Rule(rules?["headerFrom"])), ("owned", Rule(rules?["owned"])),
        ];
    }

    private static string Rule(JsonNode? rule) => $"{Cell.Text(rule?["value"])} ({Cell.Text(rule?["origin"])})";

    private static Option<string?> Rule(string name, string description, string helpName) => new(name) { Description = description, HelpName = helpName };
}
