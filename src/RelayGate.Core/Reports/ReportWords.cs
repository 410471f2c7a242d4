using System.Collections.Immutable;
using System.Globalization;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Reports;

/// <summary>The words that the formats for people share.</summary>
internal static class ReportWords
{
    private const int MaxName = 300;

    public static ImmutableArray<ReportColumns> Columns { get; } =
    [
        ReportColumns.Messages, ReportColumns.Recipients, ReportColumns.Refused, ReportColumns.Held, ReportColumns.Bounced, ReportColumns.Exempt, ReportColumns.Forwarded,
        ReportColumns.HoursOver,
    ];

    public static IEnumerable<ReportColumns> Of(ReportSection section) => Columns.Where(column => section.Columns.HasFlag(column));

    public static string Heading(ReportColumns column) => column switch
    {
        ReportColumns.Messages => "Sent",
        ReportColumns.HoursOver => "Hours over",
        _ => column.ToString(),
    };

    /// <summary>As JSON and CSV call a column.</summary>
    public static string Key(ReportColumns column) => column == ReportColumns.HoursOver ? "hoursOver" : column.ToString().ToLowerInvariant();

    public static string Title(Report report) => $"RelayGate {report.Hostname}: {Object(report)}, one {report.Period.Word()}";

    public static string Object(Report report) => Clean(report.Object.Name.Length == 0 ? "the server" : report.Object.ToString());

    /// <summary>What the reader must know to read the figures right.</summary>
    public static IEnumerable<string> Notes(Report report)
    {
        string running = report.End > report.At ? " The last hour is not over." : "";
        yield return $"{Time(report.Begin)} to {Time(report.End)} UTC, in whole hours.{running}";
        if (report.HistorySince is not { } since)
            yield return "There is no history yet.";
        else if (since > report.Begin)
            yield return $"The history begins at {Time(since)} UTC: what was before is not in these figures.";
        if (!report.LimitsEnforced)
            yield return "Limits are not enforced (Limits:Enforce is off): mail is counted, and no limit refuses or holds any.";
    }

    public static string Name(ReportRow row, string section) =>
        Clean(section == ReportSection.Over ? $"{row.Kind} {row.Name}" : row.Of is null ? row.Name : $"{row.Of} {row.Name}") + (row.IsFlagged ? " (mass)" : "");

    public static string Number(long? value) => value is { } known ? known.ToString("#,0", CultureInfo.InvariantCulture) : "-";

    /// <summary>What has changed since the period before; empty without one.</summary>
    public static string Change(ImmutableArray<ReportRow> totals, ReportColumns column)
    {
        if (totals.Length < 2 || totals[0][column] is not { } now || totals[1][column] is not { } before)
            return "";
        if (now == before)
            return "=";
        if (before == 0)
            return "new";
        double percent = Math.Round((now - before) * 100.0 / before);
        return percent > 999 ? "> +999 %" : percent.ToString("+0;-0;0", CultureInfo.InvariantCulture) + " %";
    }

    public static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);

    /// <summary>Without what could steer a terminal or turn text around.</summary>
    public static string Clean(string text) => HeaderText.Clean(text, MaxName);
}
