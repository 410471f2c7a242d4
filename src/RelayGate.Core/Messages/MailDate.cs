using System.Globalization;

namespace RelayGate.Core.Messages;

/// <summary>Dates as header fields have them (RFC 5322 §3.3).</summary>
public static class MailDate
{
    /// <summary>For instance <c>Sat, 21 Nov 2026 09:05:07 +0100</c>.</summary>
    public static string Format(DateTimeOffset at)
    {
        int offset = (int)at.Offset.TotalMinutes;
        return string.Create(CultureInfo.InvariantCulture,
            $"{at:ddd, d MMM yyyy HH':'mm':'ss} {(offset < 0 ? '-' : '+')}{Math.Abs(offset) / 60:00}{Math.Abs(offset) % 60:00}");
    }
}
