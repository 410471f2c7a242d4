using System.Text.Json;

namespace RelayGate.Core.Reports;

/// <summary>A report as JSON: the same names as in CSV; a figure that is not kept is left out.</summary>
public static class ReportJson
{
    public static void Write(Utf8JsonWriter json, Report report)
    {
        json.WriteStartObject();
        json.WriteString("hostname"u8, report.Hostname);
        json.WriteString("period"u8, report.Period.Word());
        json.WriteString("begin"u8, Time(report.Begin));
        json.WriteString("end"u8, Time(report.End));
        json.WriteString("at"u8, Time(report.At));
        json.WriteString("object"u8, report.Object.ToString());
        json.WriteString("level"u8, report.Object.Level.ToString().ToLowerInvariant());
        json.WriteString("name"u8, report.Object.Name);
        json.WriteBoolean("limitsEnforced"u8, report.LimitsEnforced);
        json.WriteString("historySince"u8, report.HistorySince is { } since ? Time(since) : null);
        json.WriteStartObject("sections"u8);
        Write(json, report.Totals);
        foreach (ReportSection section in report.Sections)
            Write(json, section);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ReportSection section)
    {
        json.WriteStartObject(section.Key);
        json.WriteNumber("count"u8, section.Count);
        json.WriteStartArray("rows"u8);
        foreach (ReportRow row in section.Rows)
        {
            json.WriteStartObject();
            json.WriteString("kind"u8, row.Kind);
            json.WriteString("name"u8, row.Name);
            if (row.Of is { } of)
                json.WriteString("of"u8, of);
            foreach (ReportColumns column in ReportWords.Columns)
            {
                if (row[column] is { } value)
                    json.WriteNumber(ReportWords.Key(column), value);
            }
            if (section.Key == ReportSection.Forwards)
                json.WriteBoolean("mass"u8, row.IsFlagged);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
}
