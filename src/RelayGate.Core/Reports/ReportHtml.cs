using System.Collections.Immutable;
using System.Net;
using System.Text;

namespace RelayGate.Core.Reports;

/// <summary>A report as one HTML page for browsers and mail programs: tables and inline styles, no script, nothing to be fetched.</summary>
/// <remarks>
/// It names no colour of text or ground, so that a light and a dark view both stay readable; lines and marks are of a grey and a red that show on both.
/// What attributes can say stands in attributes, so that it stays under the 100 KiB at which mail programs cut.
/// </remarks>
public static class ReportHtml
{
    private const string Font = "font:14px/1.4 system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
    private const string Table = "<table width=\"100%\" cellpadding=\"4\" cellspacing=\"0\" style=\"border-collapse:collapse;font-variant-numeric:tabular-nums;margin-bottom:20px\">\n";
    private const string Line = "<tr style=\"border-bottom:1px solid #8f8f8f\">";
    private const string Name = "<td style=\"word-break:break-word\">";
    private const string Mark = "<b style=\"color:#d6402f\">";
    private const string Small = "<p style=\"font-size:13px;margin:0 0 4px\">";

    /// <summary>Lines end with LF.</summary>
    public static string Write(Report report)
    {
        string title = Text(ReportWords.Title(report));
        var html = new StringBuilder();
        html.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        html.Append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
        html.Append("<meta name=\"supported-color-schemes\" content=\"light dark\">\n<title>").Append(title).Append("</title>\n</head>\n");
        html.Append($"<body style=\"margin:0;padding:16px;{Font}\">\n<div style=\"max-width:760px;margin:0 auto;{Font}\">\n");
        html.Append("<h1 style=\"font-size:20px;margin:0 0 8px\">").Append(title).Append("</h1>\n");
        foreach (string note in ReportWords.Notes(report))
            html.Append(Small).Append(Text(note)).Append("</p>\n");
        Totals(html, report.Totals);
        foreach (ReportSection section in report.Sections.Where(static section => section.Rows.Length > 0))
            Section(html, section);
        html.Append("</div>\n</body>\n</html>\n");
        return html.ToString();
    }

    private static void Totals(StringBuilder html, ReportSection totals)
    {
        bool hasBefore = totals.Rows.Length > 1;
        html.Append("<p></p>\n");
        Begin(html, hasBefore ? ["Period", "Before", "Change"] : ["Period"]);
        foreach (ReportColumns column in ReportWords.Of(totals))
        {
            html.Append(Line).Append(Name).Append(ReportWords.Heading(column)).Append("</td>");
            foreach (ReportRow row in totals.Rows)
                Cell(html, ReportWords.Number(row[column]));
            if (hasBefore)
                Cell(html, ReportWords.Change(totals.Rows, column));
            html.Append("</tr>\n");
        }
        html.Append("</tbody>\n</table>\n");
    }

    private static void Section(StringBuilder html, ReportSection section)
    {
        html.Append("<h2 style=\"font-size:16px;margin:20px 0 6px\">").Append(Text(section.Title)).Append("</h2>\n");
        Begin(html, [.. ReportWords.Of(section).Select(ReportWords.Heading)]);
        foreach (ReportRow row in section.Rows)
        {
            html.Append(Line).Append(Name).Append(row.IsFlagged ? Mark : "").Append(Text(ReportWords.Name(row, section.Key))).Append(row.IsFlagged ? "</b></td>" : "</td>");
            foreach (ReportColumns column in ReportWords.Of(section))
                Cell(html, ReportWords.Number(row[column]));
            html.Append("</tr>\n");
        }
        html.Append("</tbody>\n</table>\n");
        if (section.Count > section.Rows.Length)
            html.Append(Small).Append(ReportWords.Number(section.Count)).Append(" in all</p>\n");
    }

    private static void Begin(StringBuilder html, ImmutableArray<string> headings)
    {
        html.Append(Table).Append("<thead>").Append(Line).Append("<td></td>");
        foreach (string heading in headings)
            html.Append("<th scope=\"col\" align=\"right\" nowrap>").Append(heading).Append("</th>");
        html.Append("</tr></thead>\n<tbody>\n");
    }

    private static void Cell(StringBuilder html, string text) => html.Append("<td align=\"right\" nowrap>").Append(Text(text)).Append("</td>");

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
