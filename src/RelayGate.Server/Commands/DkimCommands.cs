using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate dkim …</c>: signing keys.</summary>
internal static class DkimCommands
{
    private const int MaxKeyFileOctets = 64 * 1024;

    private static readonly Argument<string> Domain = new("DOMAIN") { Description = "A hosted domain." };
    private static readonly Option<string?> Selector = new("--selector") { Description = "The selector, s= (default: relaygate).", HelpName = "S" };
    private static readonly Option<string?> KeyFile = new("--key-file") { Description = "An RSA private key in PEM; without it one is made (RSA-2048).", HelpName = "F" };

    public static Command Create() => new Command("dkim", "DKIM keys of domains.").With(
        new Command("create", "Give a domain a key and sign with it from now on.").With(Domain, Selector, KeyFile).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["domain"] = parsed.GetRequiredValue(Domain) };
            Fields.Set(body, "selector", parsed.GetValue(Selector));
            if (parsed.GetValue(KeyFile) is { } file)
                body["privateKey"] = await ReadKeyAsync(file, cancellationToken);
            JsonNode answer = await CreateAsync(client, body, parsed.GetValue(KeyFile), cancellationToken);
            return output.Show(answer, () =>
            {
                Console.WriteLine($"signing for {Cell.Text(answer["domain"])} with selector {Cell.Text(answer["selector"])}; publish:");
                PrintRecord(answer);
            });
        }),
        new Command("list", "List the keys of a domain, or all.").With(new Argument<string?>("DOMAIN") { Arity = ArgumentArity.ZeroOrOne, Description = "Only this domain." }).Does(async (parsed, client, output, cancellationToken) =>
            output.List(await client.GetAsync("dkim" + Paging.Build(("domain", parsed.GetValue<string?>("DOMAIN"))), cancellationToken), "no key yet",
                ("DOMAIN", Cell.Of("domain")), ("SELECTOR", Cell.Of("selector")), ("BITS", Cell.Of("bits")), ("CREATED", Cell.Time("createdAt")))),
        new Command("dns", "Print the DNS records to publish.").With(Domain, Selector).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.GetAsync(PathTo(parsed), cancellationToken);
            return output.Show(answer, () =>
            {
                foreach (JsonNode? key in answer["items"]!.AsArray())
                    PrintRecord(key!);
            });
        }),
        new Command("remove", "Remove a key; mail is no longer signed with it.").With(Domain, Selector).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.DeleteAsync(PathTo(parsed), cancellationToken);
            return output.Done(answer, $"key {Cell.Text(answer["selector"])} of {Cell.Text(answer["domain"])} removed");
        }));

    /// <summary>What is wrong with a key is wrong with its file.</summary>
    private static async Task<JsonNode> CreateAsync(ControlClient client, JsonObject body, string? keyFile, CancellationToken cancellationToken)
    {
        try
        {
            return await client.PostAsync("dkim", body, cancellationToken);
        }
        catch (CliException error) when (keyFile is not null)
        {
            throw new CliException(error.ExitCode, $"{keyFile}: {error.Message}");
        }
    }

    private static void PrintRecord(JsonNode key) => Console.WriteLine(Output.Clean(Cell.Text(key["zoneLine"]) ?? ""));

    private static string PathTo(ParseResult parsed) => $"dkim/{Uri.EscapeDataString(parsed.GetRequiredValue(Domain))}" + Paging.Build(("selector", parsed.GetValue(Selector)));

    private static async Task<string> ReadKeyAsync(string file, CancellationToken cancellationToken)
    {
        try
        {
            if (new FileInfo(file) is { Exists: true, Length: > MaxKeyFileOctets })
                throw new CliException(ExitCode.Usage, $"{file} is larger than any key file");
            return await File.ReadAllTextAsync(file, cancellationToken);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ExitCode.Usage, $"cannot read the key file {file}: {error.Message}");
        }
    }
}
