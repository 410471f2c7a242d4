using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>All log messages, one file for each area. Event ids: hosting 1–99.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "{Line}")]
    public static partial void MailEventHappened(ILogger logger, string line);

    [LoggerMessage(2, LogLevel.Warning, "The mail log cannot be written: {Reason}")]
    public static partial void MailLogFailed(ILogger logger, string reason);
}
