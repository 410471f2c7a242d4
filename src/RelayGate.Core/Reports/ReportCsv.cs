using System.Buffers;
using System.Globalization;
using System.Text;

namespace RelayGate.Core.Reports;

/// <summary>A report as CSV (RFC 4180): one row for each line of each table, all with the same columns.</summary>
public static class ReportCsv
{
    private static readonly SearchValues<char> Quoted = SearchValues.Create(",\"\r\n;'");

    /// <summary>UTF-8 without a byte order mark; lines end with CRLF. A figure that is not kept is an empty field.</summary>
    public static string Write(Report report)
    {
        var text = new StringBuilder("begin,end,object,section,kind,name,of");
        foreach (ReportColumns column in ReportWords.Columns)
            text.Append(',').Append(ReportWords.Key(column));
        text.Append(",mass\r\n");
        foreach (ReportSection section in report.Sections.Prepend(report.Totals))
        {
            foreach (ReportRow row in section.Rows)
                Row(text, report, section.Key, row);
        }
        return text.ToString();
    }

    private static void Row(StringBuilder text, Report report, string section, ReportRow row)
    {
        bool isBefore = row is { Kind: "period", Name: "before" };
        text.Append(Time(isBefore ? report.Period.Begin(report.Begin) : report.Begin)).Append(',').Append(Time(isBefore ? report.Begin : report.End));
        foreach (string field in (ReadOnlySpan<string>)[report.Object.ToString(), section, row.Kind, row.Name, row.Of ?? ""])
            text.Append(',').Append(Field(field));
        foreach (ReportColumns column in ReportWords.Columns)
            text.Append(',').Append(row[column]?.ToString(CultureInfo.InvariantCulture));
        text.Append(',').Append(row.IsFlagged ? "1" : "0").Append("\r\n");
    }

    /// <summary>
    /// Names are other people's text. One that a spreadsheet would take for a formula gets an apostrophe before it; control characters, by which a
    /// field can be made to begin anew, are gone.
    /// </summary>
    private static string Field(string name)
    {
        string text = ReportWords.Clean(name);
        if (text.Length > 0 && text[0] is '=' or '+' or '-' or '@' or '\uFF1D' or '\uFF0B' or '\uFF0D' or '\uFF20') // The last four: full-width forms.
            text = '\'' + text;
        return !text.AsSpan().ContainsAny(Quoted) ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
}
