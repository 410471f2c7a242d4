using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;
using Spectre.Console;

namespace RelayGate.Server.Commands;

/// <summary>
/// One order for queued messages: counted first, asked for on a terminal, carried out in steps with a bar, and stopped by Ctrl-C after the step that runs.
/// </summary>
/// <param name="verb">As the API names it.</param>
/// <param name="done">What messages are afterwards.</param>
internal sealed class QueueOrderVerb(string verb, string done, JsonObject body, ControlClient client, Output output)
{
    /// <summary>Messages that one order by filter changes without --yes where nobody can be asked.</summary>
    public const int MostUnasked = 1000;

    private const int MostCauses = 3;

    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(5);

    private static bool MayAsk => Output.IsTerminal && !Console.IsInputRedirected;

    /// <summary>What messages would be.</summary>
    private readonly string _would = done.StartsWith("to be ", StringComparison.Ordinal) ? "would" + done[2..] : "would be " + done;

    /// <param name="isFiltered">Not for messages that are named one by one.</param>
    /// <param name="more">What else is to be said once it is done, or null.</param>
    public async Task<int> RunAsync(bool isFiltered, bool isDryRun, bool isSure, Func<Task<string?>>? more, CancellationToken cancellationToken)
    {
        long? total = null;
        if (isDryRun || (isFiltered && !isSure))
        {
            JsonNode preview = isFiltered ? await FollowAsync(With("dryRun", true), null, cancellationToken) : await client.PostAsync($"queue/{verb}", With("dryRun", true), cancellationToken);
            if (isDryRun || IsInterrupted(preview))
                return Finish(preview, Count(preview, _would));
            total = (long?)preview["count"];
            if (total > 0 && !output.IsJson && MayAsk)
            {
                Console.Write($"{Count(preview, _would)}. Go on? [y/N] ");
                if (Console.ReadLine() is not ("y" or "Y" or "yes"))
                    return output.Done(preview, "nothing was done");
            }
            else if (total > MostUnasked)
            {
                throw new CliException(ExitCode.Usage, $"{Count(preview, _would)}: say --yes to do it");
            }
        }
        JsonNode answer = isFiltered ? await FollowAsync(body, total, cancellationToken) : await client.PostAsync($"queue/{verb}", body, cancellationToken);
        string line = Count(answer, done);
        if (isFiltered && (long?)answer["count"] == 0 && (long?)answer["unchanged"] == 0)
            line += ": nothing in the queue matches";
        if (more is not null && await more() is { } rest)
            line += rest;
        return Finish(answer, line);
    }

    private static bool IsInterrupted(JsonNode answer) => (bool?)answer["interrupted"] == true;

    private int Finish(JsonNode answer, string line)
    {
        output.Done(answer, IsInterrupted(answer) ? $"interrupted: {line}; the rest is as it was" : line);
        return IsInterrupted(answer) ? ExitCode.Failed : ExitCode.Ok;
    }

    private JsonObject With(string name, bool value)
    {
        var copy = (JsonObject)body.DeepClone();
        copy[name] = value;
        return copy;
    }

    /// <summary>Has an order carried out and follows it. Ctrl-C stops it there, and what was done then is told.</summary>
    /// <param name="total">How many messages it is for; null: not known.</param>
    private async Task<JsonNode> FollowAsync(JsonObject order, long? total, CancellationToken cancellationToken)
    {
        var request = (JsonObject)order.DeepClone();
        request["order"] = verb;
        bool isCounting = (bool?)order["dryRun"] == true;
        string? id = null;
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using PosixSignalRegistration end = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        IAsyncEnumerable<JsonNode> lines = client.LinesAsync(HttpMethod.Post, "queue/orders", request, cancellationToken);
        JsonNode? result = null;
        if (output.IsJson || !Output.IsTerminal)
        {
            long told = TimeProvider.System.GetTimestamp();
            result = await LastAsync(step =>
            {
                if (output.IsJson || TimeProvider.System.GetElapsedTime(told) < BetweenLines)
                    return;
                told = TimeProvider.System.GetTimestamp();
                Console.Error.WriteLine(Progress(step, total, isCounting));
            });
        }
        else
        {
            await AnsiConsole.Progress().AutoClear(true).StartAsync(async progress =>
            {
                ProgressTask task = progress.AddTask("messages", maxValue: Math.Max(1, total ?? 1));
                task.IsIndeterminate = total is null;
                result = await LastAsync(step =>
                {
                    task.Description = Progress(step, total, isCounting);
                    task.Value = (double)step["count"]!;
                });
                if (result is not null)
                    task.Value = (double)result["count"]!; // The last steps may not have been told.
            });
        }
        return result ?? throw new CliException(ExitCode.Failed, "the gateway ended its answer in the middle; what was done stands in: relaygate audit list");

        async Task<JsonNode?> LastAsync(Action<JsonNode> step)
        {
            JsonNode? last = null;
            await foreach (JsonNode line in lines)
            {
                if (line["id"] is { } started)
                    Volatile.Write(ref id, (string?)started);
                else if (line["outcome"] is not null)
                    last = line;
                else
                    step(line);
            }
            return last;
        }

        void Stop(PosixSignalContext context)
        {
            if (Volatile.Read(ref id) is not { } running)
                return; // Nothing was begun: the program may end.
            context.Cancel = true;
            _ = StopAsync(running);
        }

        async Task StopAsync(string running)
        {
            try
            {
                await client.DeleteAsync($"queue/orders/{running}", CancellationToken.None);
            }
            catch (CliException)
            {
                // It has ended just now, and its last line says so.
            }
        }
    }

    /// <summary>How far it is: of all that it is for, or where that is only counted now, how many were found.</summary>
    internal string Progress(JsonNode step, long? total, bool isCounting) => total is { } all
        ? string.Create(CultureInfo.InvariantCulture, $"{(long)step["count"]!} of {all} messages {done}")
        : string.Create(CultureInfo.InvariantCulture, $"{(long)step["looked"]!} messages looked at, {(long)step["count"]!} {(isCounting ? _would : done)}");

    internal string Count(JsonNode answer, string done)
    {
        string line = $"{answer["count"]} {((long?)answer["count"] == 1 ? "message" : "messages")} {done}";
        if ((long?)answer["unchanged"] is > 0 and var unchanged)
        {
            line += $", {unchanged} unchanged";
            if ((long?)answer["notAllowed"] is > 0 and var refused)
                line += $" ({refused} may not leave from there)";
            if ((long?)answer["unchangedHeld"] is > 0 and var held)
                line += held == unchanged ? " (held: release it first)" : $" ({held} held: release those first)";
            else if (WhyUnchanged(answer) is { } why)
                line += $" ({why})";
        }
        if (answer["waits"] is JsonArray { Count: > 0 } waits)
            line += Waits(waits);
        if ((long?)answer["inFlight"] is > 0 and var inFlight)
            line += $"; {inFlight} in an attempt that may still finish";
        return (answer["notFound"] as JsonArray) is { Count: > 0 } missing ? $"{line}; not in the queue: {Cell.Text(missing)}" : line;
    }

    /// <summary>Why an order was not for a message, where its own counts do not say so.</summary>
    private string? WhyUnchanged(JsonNode answer) => verb switch
    {
        "requeue" => "not failed: only what failed is put back",
        "release" => "not held",
        "hold" => "held by hand already, or failed",
        "retry" or "flush" => "failed: queue requeue puts it back",
        "bounce" when (long?)answer["inFlight"] is null or 0 => "failed already",
        "rebind" when (long?)answer["notAllowed"] is null or 0 => "it leaves from there already, or has failed",
        "delete" => "stopped by an administrator",
        _ => null,
    };

    /// <summary>What of the messages that are tried now is put off again, and where to look.</summary>
    private static string Waits(JsonArray waits)
    {
        IEnumerable<string> causes = waits.Take(MostCauses).Select(static wait =>
        {
            string[] words = ((string)wait!["for"]!).Split(' ');
            string see = words switch
            {
                ["ip", var address, ..] => $"ip show {address}",
                ["egress", "", ..] => "setting list",
                ["egress", var subscription, ..] => $"subscription show {subscription}",
                _ => "queue suspended",
            };
            return $"{wait["messages"]} for {Cell.WaitsFor(wait["for"])} (relaygate {see})";
        });
        return $"; of these wait, and are put off again while that lasts: {string.Join(", ", causes)}{(waits.Count > MostCauses ? " and for more" : "")}";
    }
}
