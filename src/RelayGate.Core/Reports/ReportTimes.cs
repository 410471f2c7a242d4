namespace RelayGate.Core.Reports;

/// <summary>When a report is sent: every day, each Monday, or the first of each month, at a time of day (UTC).</summary>
public static class ReportTimes
{
    /// <summary>The last time at or before <paramref name="now"/>.</summary>
    /// <param name="at">Time of day.</param>
    public static DateTimeOffset Latest(ReportPeriod period, TimeSpan at, DateTimeOffset now)
    {
        var day = new DateTimeOffset(now.UtcDateTime.Date, TimeSpan.Zero);
        DateTimeOffset first = period switch
        {
            ReportPeriod.Day => day,
            ReportPeriod.Week => day.AddDays(-(((int)day.DayOfWeek + 6) % 7)),
            _ => day.AddDays(1 - day.Day),
        };
        if (first + at <= now)
            return first + at;
        return period.Begin(first) + at;
    }

    /// <summary>The first time after <paramref name="now"/>.</summary>
    public static DateTimeOffset Next(ReportPeriod period, TimeSpan at, DateTimeOffset now)
    {
        DateTimeOffset day = Latest(period, at, now) - at;
        DateTimeOffset next = period switch
        {
            ReportPeriod.Day => day.AddDays(1),
            ReportPeriod.Week => day.AddDays(7),
            _ => day.AddMonths(1),
        };
        return next + at;
    }
}
