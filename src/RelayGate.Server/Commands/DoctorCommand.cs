using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate doctor</c>: looks for what is wrong or soon will be. Exit code 1 when there is a problem; warnings alone are 0.</summary>
internal static class DoctorCommand
{
    public static Command Create() => new Command("doctor", "Look for what is wrong or soon will be.").Does(async (_, client, output, cancellationToken) =>
    {
        JsonNode answer = await client.GetAsync("doctor", cancellationToken);
        JsonArray checks = answer["items"]?.AsArray() ?? [];
        output.Show(answer, () =>
        {
            foreach (JsonNode? check in checks)
                Console.WriteLine(Output.Clean($"{Cell.Text(check!["result"]),-8} {Cell.Text(check["check"])}: {Cell.Text(check["text"])}"));
            string notes = Count("note") > 0 ? $"{Counted("note")}, " : "";
            Console.WriteLine($"doctor: {Count("ok")} ok, {notes}{Counted("warning")}, {Counted("problem")}");
        });
        return Count("problem") > 0 ? ExitCode.Failed : ExitCode.Ok;

        string Counted(string result) => Count(result) is var count && count == 1 ? $"1 {result}" : $"{count} {result}s";

        int Count(string result) => checks.Count(c => (string?)c!["result"] == result);
    });
}
