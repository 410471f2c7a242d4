using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate network …</c>: clients known by their address.</summary>
internal static class NetworkCommands
{
    private static readonly Argument<string> Cidr = new("CIDR") { Description = "For instance 192.0.2.0/24." };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Whose mail it is when the domain of MAIL FROM is not hosted here.", HelpName = "NAME" };
    private static readonly Option<bool> Exempt = new("--exempt-from-limits") { Description = "Its mail is counted but never refused by a limit." };
    private static readonly Option<bool> TrustAll = new("--trust-all") { Description = "It may send in the name of any domain hosted here." };

    public static Command Create() => new Command("network", "Networks that may relay without a login.").With(
        new Command("add", "List a network.").With(Cidr, Subscription, Exempt, TrustAll).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["cidr"] = parsed.GetRequiredValue(Cidr), ["exemptFromLimits"] = parsed.GetValue(Exempt), ["trustAll"] = parsed.GetValue(TrustAll) };
            Fields.Set(body, "subscription", parsed.GetValue(Subscription));
            JsonNode answer = await client.PostAsync("networks", body, cancellationToken);
            string added = $"network {(string?)answer["cidr"] ?? parsed.GetRequiredValue(Cidr)} added";
            return output.Show(answer, () =>
            {
                Console.WriteLine(Output.Clean(added));
                if (answer["hosts"] is { } hosts)
                    Console.WriteLine($"WARNING: no limit holds for what {hosts} address{((string?)hosts == "1" ? "" : "es")} send{((string?)hosts == "1" ? "s" : "")}: it is counted, and that is all. "
                        + $"In the last 24 h no limit held for {answer["exempt"]} messages of this server; watch it: relaygate limit show server");
            });
        }),
        new Command("list", "List all networks.").Does(async (_, client, output, cancellationToken) =>
            output.List(await client.GetAsync("networks", cancellationToken), "no network is listed",
                ("NETWORK", Cell.Of("cidr")), ("SUBSCRIPTION", Cell.Of("subscription")), ("LIMITS", i => (bool?)i["exemptFromLimits"] == true ? "exempt" : "counted"), ("SENDERS", i => (bool?)i["trustAll"] == true ? "all" : "own"))),
        new Command("remove", "Take a network off the list.").With(Cidr).Does(async (parsed, client, output, cancellationToken) =>
            output.Done(await client.DeleteAsync($"networks/{Uri.EscapeDataString(parsed.GetRequiredValue(Cidr))}", cancellationToken), $"network {parsed.GetRequiredValue(Cidr)} removed")));
}
