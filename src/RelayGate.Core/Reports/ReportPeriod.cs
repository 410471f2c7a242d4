namespace RelayGate.Core.Reports;

/// <summary>How much time one report covers. It ends with a whole hour (UTC), not with a day.</summary>
public enum ReportPeriod
{
    /// <summary>24 hours.</summary>
    Day,

    /// <summary>7 times 24 hours.</summary>
    Week,

    /// <summary>One month of the calendar: to the same day and hour one month before, 28 to 31 days.</summary>
    Month,
}

/// <summary>Where periods begin.</summary>
public static class ReportPeriods
{
    /// <summary>For instance <c>day</c>.</summary>
    public static string Word(this ReportPeriod period) => period.ToString().ToLowerInvariant();

    public static bool TryParse(string text, out ReportPeriod period) =>
        Enum.TryParse(text, ignoreCase: true, out period) && Enum.IsDefined(period) && !char.IsAsciiDigit(text[0]);

    /// <summary>The begin of the period that ends so.</summary>
    public static DateTimeOffset Begin(this ReportPeriod period, DateTimeOffset end) => period switch
    {
        ReportPeriod.Day => end.AddDays(-1),
        ReportPeriod.Week => end.AddDays(-7),
        _ => end.AddMonths(-1),
    };

    /// <summary>The end of the period that holds the running hour: the next whole hour.</summary>
    public static DateTimeOffset EndOfHour(DateTimeOffset now) => DateTimeOffset.FromUnixTimeSeconds((now.ToUnixTimeSeconds() / 3600 + 1) * 3600);
}
