using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Core.Messages;
using Spectre.Console;

namespace RelayGate.Server.Cli;

/// <summary>What a verb prints: JSON, a table (bordered on a terminal, aligned plain text in a pipe), or lines.</summary>
internal sealed class Output(bool json)
{
    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public bool IsJson { get; } = json;

    public static bool IsTerminal => !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "dumb");

    /// <summary>Prints the answer as JSON if that was asked for, else by <paramref name="human"/>.</summary>
    public int Show(JsonNode answer, Action human)
    {
        if (IsJson)
            Console.WriteLine(answer.ToJsonString(Readable));
        else
            human();
        return ExitCode.Ok;
    }

    /// <summary>Prints one line (unless JSON was asked for: then the answer).</summary>
    public int Done(JsonNode answer, string line) => Show(answer, () => Console.WriteLine(Clean(line)));

    /// <summary>A list <c>{"items":[…]}</c> as a table.</summary>
    /// <param name="columns">Heading and how to read the cell from an item.</param>
    public int List(JsonNode answer, string whenEmpty, params (string Heading, Func<JsonNode, string?> Cell)[] columns) => Show(answer, () =>
    {
        JsonArray items = answer["items"]?.AsArray() ?? [];
        if (items.Count == 0)
        {
            Console.WriteLine(answer["nextCursor"] is null ? whenEmpty : "nothing found so far"); // A page looks at a bounded number of rows.
        }
        else
        {
            Table([.. columns.Select(c => c.Heading)], items.Select(i => columns.Select(c => c.Cell(i!) ?? "").ToArray()));
        }
        if (answer["nextCursor"] is { } cursor && (string?)cursor is { Length: > 0 } next)
            Console.WriteLine(Clean($"more: --cursor {(next.All(IsPlain) ? next : $"'{next.Replace("'", "'\\''", StringComparison.Ordinal)}'")}"));
    });

    /// <summary>Whether a shell takes a character as it is.</summary>
    private static bool IsPlain(char c) => char.IsAsciiLetterOrDigit(c) || "@%+=:,./_-".Contains(c);

    public static void Table(string[] headings, IEnumerable<string[]> rows)
    {
        if (IsTerminal)
        {
            string[][] cells = [headings, .. rows.Select(r => r.Select(Clean).ToArray())];
            var table = new Table().Border(TableBorder.Simple);
            foreach (string heading in headings)
                table.AddColumn(new TableColumn(Markup.Escape(heading)).NoWrap());
            foreach (string[] row in cells.Skip(1))
                table.AddRow([.. row.Select(Markup.Escape)]);
            // What is wider than the terminal is wrapped by it: nothing is cut.
            int needed = Enumerable.Range(0, headings.Length).Sum(i => cells.Max(r => r[i].Length) + 3) + 1;
            AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, needed);
            AnsiConsole.Write(table);
            return;
        }
        string[][] all = [headings, .. rows.Select(r => r.Select(Clean).ToArray())];
        int[] widths = [.. Enumerable.Range(0, headings.Length).Select(i => all.Max(r => r[i].Length))];
        foreach (string[] row in all)
            Console.WriteLine(string.Join("  ", row.Select((cell, i) => i == row.Length - 1 ? cell : cell.PadRight(widths[i]))).TrimEnd());
    }

    /// <summary>Name and value pairs, one a line, aligned; empty values are left out.</summary>
    public static void Fields(params (string Name, string? Value)[] fields)
    {
        (string Name, string? Value)[] shown = [.. fields.Where(f => !string.IsNullOrEmpty(f.Value))];
        int width = shown.Length == 0 ? 0 : shown.Max(f => f.Name.Length);
        foreach ((string name, string? value) in shown)
            Console.WriteLine($"{name.PadRight(width)}  {Clean(value!)}");
    }

    /// <summary>What peers sent must not steer the terminal, nor turn its text around.</summary>
    public static string Clean(string text) => PrintableText.Clean(text, '\uFFFD');
}
