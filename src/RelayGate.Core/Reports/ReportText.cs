using System.Text;

namespace RelayGate.Core.Reports;

/// <summary>A report as plain text, at most <see cref="Columns"/> columns wide.</summary>
public static class ReportText
{
    public const int Columns = 100;

    private const int MinName = 16;

    /// <summary>Lines that end with LF.</summary>
    public static string Write(Report report)
    {
        var text = new StringBuilder();
        Line(text, ReportWords.Title(report));
        foreach (string note in ReportWords.Notes(report))
            Line(text, note);
        Totals(text, report.Totals);
        foreach (ReportSection section in report.Sections.Where(static section => section.Rows.Length > 0))
            Table(text, section);
        return text.ToString();
    }

    private static void Totals(StringBuilder text, ReportSection totals)
    {
        text.Append('\n');
        bool hasBefore = totals.Rows.Length > 1;
        List<string[]> rows = [hasBefore ? ["", "Period", "Before", "Change"] : ["", "Period"]];
        foreach (ReportColumns column in ReportWords.Of(totals))
        {
            string[] cells = [ReportWords.Heading(column), .. totals.Rows.Select(row => ReportWords.Number(row[column]))];
            rows.Add(hasBefore ? [.. cells, ReportWords.Change(totals.Rows, column)] : cells);
        }
        Align(text, rows);
    }

    private static void Table(StringBuilder text, ReportSection section)
    {
        text.Append('\n');
        List<string[]> rows = [[section.Title, .. ReportWords.Of(section).Select(ReportWords.Heading)]];
        foreach (ReportRow row in section.Rows)
            rows.Add([ReportWords.Name(row, section.Key), .. ReportWords.Of(section).Select(column => ReportWords.Number(row[column]))]);
        Align(text, rows);
        if (section.Count > section.Rows.Length)
            Line(text, $"{ReportWords.Number(section.Count)} in all");
    }

    /// <summary>The first column to the left, as wide as there is room; the others to the right.</summary>
    private static void Align(StringBuilder text, List<string[]> rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(i => rows.Max(row => row[i].Length))];
        widths[0] = Math.Min(widths[0], Math.Max(MinName, Columns - widths.Skip(1).Sum(static width => width + 2)));
        foreach (string[] row in rows)
        {
            text.Append(Cut(row[0], widths[0]).PadRight(widths[0]));
            for (int i = 1; i < row.Length; i++)
                text.Append("  ").Append(row[i].PadLeft(widths[i]));
            while (text[^1] == ' ')
                text.Length--;
            text.Append('\n');
        }
    }

    /// <summary>Cut in the middle: both ends of an address or path tell most.</summary>
    private static string Cut(string text, int width)
    {
        if (text.Length <= width)
            return text;
        int front = (width - 3) / 2, back = text.Length - (width - 3 - front);
        if (char.IsHighSurrogate(text[front - 1]))
            front--;
        if (char.IsLowSurrogate(text[back]))
            back++;
        return $"{text[..front]}...{text[back..]}";
    }

    private static void Line(StringBuilder text, string line)
    {
        while (line.Length > Columns)
        {
            int blank = line.LastIndexOf(' ', Columns);
            int cut = blank > 0 ? blank : Columns;
            text.Append(line, 0, cut).Append('\n');
            line = line[cut..].TrimStart();
        }
        text.Append(line).Append('\n');
    }
}
