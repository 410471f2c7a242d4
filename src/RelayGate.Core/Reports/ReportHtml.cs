using System.Net;
using System.Text;

namespace RelayGate.Core.Reports;

/// <summary>A report as one HTML page for browsers and mail programs: tables and inline styles, no script, nothing to be fetched.</summary>
/// <remarks>It names no colour of text or ground, so that a light and a dark view both stay readable; lines and marks are of a grey or red that shows on both.</remarks>
public static class ReportHtml
{
    private const string Font = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px;line-height:1.4";
    private const string Table = "border-collapse:collapse;width:100%;margin:0 0 20px 0";
    private const string Left = "text-align:left;padding:4px 8px 4px 0;border-bottom:1px solid #8a8a8a55;overflow-wrap:anywhere;word-break:break-word";
    private const string Right = "text-align:right;padding:4px 0 4px 12px;border-bottom:1px solid #8a8a8a55;white-space:nowrap;font-variant-numeric:tabular-nums";
    private const string Heading = "font-size:16px;margin:20px 0 6px 0";
    private const string Mark = "color:#d33a2c;font-weight:bold";
    private const string Small = "font-size:13px;margin:0 0 4px 0;opacity:.8";

    /// <summary>Lines end with LF.</summary>
    public static string Write(Report report)
    {
        var html = new StringBuilder();
        html.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        html.Append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
        html.Append("<meta name=\"supported-color-schemes\" content=\"light dark\">\n");
        html.Append("<title>").Append(Text(ReportWords.Title(report))).Append("</title>\n</head>\n");
        html.Append($"<body style=\"margin:0;padding:16px;{Font}\">\n<div style=\"max-width:760px;margin:0 auto\">\n");
        html.Append("<h1 style=\"font-size:20px;margin:0 0 8px 0\">").Append(Text(ReportWords.Title(report))).Append("</h1>\n");
        foreach (string note in ReportWords.Notes(report))
            html.Append($"<p style=\"{Small}\">").Append(Text(note)).Append("</p>\n");
        Totals(html, report.Totals);
        foreach (ReportSection section in report.Sections.Where(static section => section.Rows.Length > 0))
            Section(html, section);
        html.Append("</div>\n</body>\n</html>\n");
        return html.ToString();
    }

    private static void Totals(StringBuilder html, ReportSection totals)
    {
        bool hasBefore = totals.Rows.Length > 1;
        html.Append($"<table style=\"{Table};margin-top:16px\">\n<thead><tr>");
        Head(html, "", Left);
        Head(html, "Period", Right);
        if (hasBefore)
        {
            Head(html, "Before", Right);
            Head(html, "Change", Right);
        }
        html.Append("</tr></thead>\n<tbody>\n");
        foreach (ReportColumns column in ReportWords.Of(totals))
        {
            html.Append($"<tr><th scope=\"row\" style=\"{Left};font-weight:normal\">").Append(ReportWords.Heading(column)).Append("</th>");
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
        html.Append($"<h2 style=\"{Heading}\">").Append(Text(section.Title)).Append($"</h2>\n<table style=\"{Table}\">\n<thead><tr>");
        Head(html, "", Left);
        foreach (ReportColumns column in ReportWords.Of(section))
            Head(html, ReportWords.Heading(column), Right);
        html.Append("</tr></thead>\n<tbody>\n");
        foreach (ReportRow row in section.Rows)
        {
            html.Append($"<tr><th scope=\"row\" style=\"{Left};font-weight:normal\">");
            html.Append(row.IsFlagged ? $"<span style=\"{Mark}\">" : "").Append(Text(ReportWords.Name(row, section.Key))).Append(row.IsFlagged ? "</span></th>" : "</th>");
            foreach (ReportColumns column in ReportWords.Of(section))
                Cell(html, ReportWords.Number(row[column]));
            html.Append("</tr>\n");
        }
        html.Append("</tbody>\n</table>\n");
        if (section.Count > section.Rows.Length)
            html.Append($"<p style=\"{Small}\">").Append(ReportWords.Number(section.Count)).Append(" in all</p>\n");
    }

    private static void Head(StringBuilder html, string text, string style) =>
        html.Append(text.Length == 0 ? $"<td style=\"{style}\"></td>" : $"<th scope=\"col\" style=\"{style}\">{Text(text)}</th>");

    private static void Cell(StringBuilder html, string text) => html.Append($"<td style=\"{Right}\">").Append(Text(text)).Append("</td>");

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
