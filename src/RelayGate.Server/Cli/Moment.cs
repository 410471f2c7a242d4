using System.Globalization;

namespace RelayGate.Server.Cli;

/// <summary>Reads times and spans of the command line.</summary>
internal static class Moment
{
    /// <summary>A time as it is, or one so long ago, as the API takes it; null for none.</summary>
    public static string? Of(string? text)
    {
        if (text is null)
            return null;
        if (Span(text) is { } ago)
            return (TimeProvider.System.GetUtcNow() - ago).ToString("O");
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset at)
            ? at.ToString("O")
            : throw new CliException(ExitCode.Usage, $"'{text}' is no time: write 2026-01-31T12:00Z, or 90s, 15m, 2h, 7d ago");
    }

    /// <summary><c>90s</c>, <c>15m</c>, <c>2h</c>, <c>7d</c>; null for anything else.</summary>
    public static TimeSpan? Span(string text) => text.Length < 2 || !uint.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out uint amount) ? null
        : text[^1] switch
        {
            's' => TimeSpan.FromSeconds(amount),
            'm' => TimeSpan.FromMinutes(amount),
            'h' when amount < 2_400_000 => TimeSpan.FromHours(amount),
            'd' when amount < 100_000 => TimeSpan.FromDays(amount),
            _ => null,
        };
}
