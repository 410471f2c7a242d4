using System.CommandLine;
using System.Text.Json.Nodes;

namespace RelayGate.Server.Cli;

/// <summary>The verbs that plan, subscription, domain and mailbox share: show, list, suspend, resume, remove.</summary>
/// <param name="noun">As people type it.</param>
/// <param name="collection">Under /api/v1.</param>
/// <param name="columns">Of the list.</param>
internal sealed class ObjectVerbs(string noun, string collection, params (string Heading, Func<JsonNode, string?> Cell)[] columns)
{
    public Argument<string> Name { get; } = new("NAME") { Description = $"Name of the {noun}." };

    public string PathTo(string name) => $"{collection}/{Uri.EscapeDataString(name)}";

    /// <summary>add: posts a new object.</summary>
    /// <param name="body">Fills in what the options say.</param>
    public Command Add(Func<ParseResult, JsonObject, Task> body, params ReadOnlySpan<Option> options) =>
        WithOptions(new Command("add", $"Create a {noun}.") { Name }, options).Does(async (parsed, client, output, cancellationToken) =>
        {
            var request = new JsonObject { ["name"] = parsed.GetRequiredValue(Name) };
            await body(parsed, request);
            JsonNode answer = await client.PostAsync(collection, request, cancellationToken);
            return output.Done(answer, $"{noun} {(string?)answer["name"] ?? parsed.GetRequiredValue(Name)} added");
        });

    /// <summary>set: changes what the options name and leaves the rest.</summary>
    public Command Set(Func<ParseResult, JsonObject, Task> body, params ReadOnlySpan<Option> options) =>
        WithOptions(new Command("set", $"Change a {noun}: only what is named changes.") { Name }, options).Does(async (parsed, client, output, cancellationToken) =>
        {
            var request = new JsonObject();
            await body(parsed, request);
            if (request.Count == 0)
                throw new CliException(ExitCode.Usage, $"nothing to change: name an option (relaygate {noun} set --help)");
            JsonNode answer = await client.PatchAsync(PathTo(parsed.GetRequiredValue(Name)), request, cancellationToken);
            return output.Done(answer, $"{noun} {parsed.GetRequiredValue(Name)} changed");
        });

    public Command Show(Action<JsonNode> print) =>
        new Command("show", $"Show a {noun}.") { Name }.Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.GetAsync(PathTo(parsed.GetRequiredValue(Name)), cancellationToken);
            return output.Show(answer, () => print(answer));
        });

    public Command List(params ReadOnlySpan<(Option<string?> Option, string Parameter)> filters)
    {
        (Option<string?> Option, string Parameter)[] kept = filters.ToArray();
        var paging = new Paging();
        var command = new Command("list", $"List every {noun}.");
        foreach ((Option<string?> option, string _) in kept)
            command.Add(option);
        return paging.AddTo(command).Does(async (parsed, client, output, cancellationToken) =>
        {
            string query = paging.Query(parsed, [.. kept.Select(f => (f.Parameter, parsed.GetValue(f.Option)))]);
            return output.List(await client.GetAsync(collection + query, cancellationToken), $"no {noun} yet", columns);
        });
    }

    public Command Suspend() => Act("suspend", $"Refuse new mail of a {noun} and hold its queued mail until resume.", "suspended");

    public Command Resume() => Act("resume", $"Let a suspended {noun} send again.", "resumed");

    public Command Remove() =>
        new Command("remove", $"Remove a {noun} that nothing uses any more.") { Name }.Does(async (parsed, client, output, cancellationToken) =>
        {
            string name = parsed.GetRequiredValue(Name);
            return output.Done(await client.DeleteAsync(PathTo(name), cancellationToken), $"{noun} {name} removed");
        });

    private Command Act(string verb, string description, string done) =>
        new Command(verb, description) { Name }.Does(async (parsed, client, output, cancellationToken) =>
        {
            string name = parsed.GetRequiredValue(Name);
            return output.Done(await client.PostAsync($"{PathTo(name)}/{verb}", null, cancellationToken), $"{noun} {name} {done}");
        });

    private static Command WithOptions(Command command, ReadOnlySpan<Option> options)
    {
        foreach (Option option in options)
            command.Add(option);
        return command;
    }
}
