using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate route …</c>: where mail goes next.</summary>
internal static class RouteCommands
{
    private static readonly Argument<string[]> For = new("FOR")
    {
        Description = "server, subscription NAME, to DOMAIN, or subscription NAME to DOMAIN.",
        Arity = new ArgumentArity(1, 4),
    };

    private static readonly Option<string[]> NextHop = new("--next-hop")
    {
        Description = "mx, smtp://host:port or smtps://host:port; with commas: equals that take turns; repeated: asked when none before can be spoken to.",
        HelpName = "HOP",
    };

    private static readonly Option<string?> Login = new("--login") { Description = "Who logs in at the smarthosts; with --password-stdin. \"none\": nobody.", HelpName = "USER" };
    private static readonly Option<string?> Tls = new("--tls") { Description = "none, may, encrypt, verify, dane, or default (Delivery:Tls:Policy; with a login at least verify).", HelpName = "POLICY" };
    private static readonly Argument<string> Recipient = new("RECIPIENT") { Description = "An address, or a domain." };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Whose mail; without it, the server's own.", HelpName = "NAME" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("route", "Where mail goes next: MX hosts or smarthosts. What is for subscription and domain wins, then for the domain, the subscription, the server.").With(
            new Command("set", "Set a route; the next attempts go there.").With(For, NextHop, Login, Secrets.PasswordStdin, Tls).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonObject body = Target(parsed);
                if (parsed.GetValue(NextHop) is { Length: > 0 } hops)
                    body["nextHop"] = string.Join(' ', hops);
                Fields.SetOrNone(body, "login", parsed.GetValue(Login));
                if (parsed.GetValue(Secrets.PasswordStdin))
                    body["password"] = await Secrets.ReadPasswordAsync();
                Fields.Set(body, "tls", parsed.GetValue(Tls));
                JsonNode route = await client.PutAsync("routes", body, cancellationToken);
                return output.Done(route, $"route {Cell.Text(route["for"])}: {Describe(route)}");
            }),
            paging.AddTo(new Command("list", "List all routes.")).Does(async (parsed, client, output, cancellationToken) =>
                output.List(await client.GetAsync("routes" + paging.Query(parsed), cancellationToken), "no route",
                    ("FOR", Cell.Of("for")), ("NEXT HOP", Cell.Of("nextHop")), ("LOGIN", Cell.Of("login")), ("TLS", Cell.Of("tls")), ("ORIGIN", Cell.Of("origin")))),
            new Command("show", "Show a route.").With(For).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode route = await client.GetAsync("routes/one" + Query(parsed), cancellationToken);
                return output.Show(route, () => Output.Fields(
                    ("route", Cell.Text(route["for"])), ("next hop", Cell.Text(route["nextHop"])), ("login", Cell.Text(route["login"])), ("tls", Cell.Text(route["tls"])), ("origin", Cell.Text(route["origin"]))));
            }),
            new Command("remove", "Remove a route: mail goes by the next one that is for it.").With(For).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode route = await client.DeleteAsync("routes/one" + Query(parsed), cancellationToken);
                return output.Done(route, $"route {Cell.Text(route["for"])} removed");
            }),
            new Command("test", "Tell which way mail would go now, without sending any.").With(Recipient, Subscription).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode plan = await client.GetAsync(
                    "routes/test" + Paging.Build(("to", parsed.GetRequiredValue(Recipient)), ("subscription", parsed.GetValue(Subscription))), cancellationToken);
                return output.Show(plan, () => Print(plan));
            }));
    }

    private static void Print(JsonNode plan)
    {
        Output.Fields(
            ("route", $"{Cell.Text(plan["route"]?["for"])}: {Describe(plan["route"]!)}"), ("leaves from", Cell.Text(plan["egress"])),
            ("no way", Cell.Text(plan["fault"])));
        if (plan["stops"] is JsonArray { Count: > 0 } stops)
        {
            Output.Table(["HOST", "ADDRESS", "PROVIDER", "FROM", "AS", "TLS", ""], stops.Select(static s => new[]
            {
                Cell.Text(s!["host"]) ?? "", Cell.Text(s["remote"]) ?? "", Cell.Text(s["provider"]) ?? "", Cell.Text(s["local"]) ?? "", Cell.Text(s["helo"]) ?? "",
                (Cell.Text(s["tls"]) ?? "") + ((bool?)s["implicitTls"] == true ? ", at once" : ""), Cell.Text(s["whyNot"]) is { } why ? $"not dialled: {why}" : "",
            }));
        }
    }

    private static string Describe(JsonNode route)
    {
        string login = Cell.Text(route["login"]) is { } user ? $" as {user}" : "";
        return $"{Cell.Text(route["nextHop"])}{login}{(Cell.Text(route["tls"]) is { } tls ? $", tls {tls}" : "")}";
    }

    private static string Query(ParseResult parsed)
    {
        JsonObject target = Target(parsed);
        return Paging.Build(("subscription", (string?)target["subscription"]), ("domain", (string?)target["domain"]));
    }

    private static JsonObject Target(ParseResult parsed) => parsed.GetRequiredValue(For) switch
    {
        ["server"] => [],
        ["subscription", { } name] => new JsonObject { ["subscription"] = name },
        ["to", { } domain] => new JsonObject { ["domain"] = domain },
        ["subscription", { } name, "to", { } domain] => new JsonObject { ["subscription"] = name, ["domain"] = domain },
        _ => throw new CliException(ExitCode.Usage, "say whose route: server, subscription NAME, to DOMAIN, or subscription NAME to DOMAIN"),
    };
}
