using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Log messages of housekeeping and of what only a human can mend.</summary>
internal static partial class Log
{
    [LoggerMessage(Level = LogLevel.Information, EventId = 450, Message = "Removed {Decisions} old records, {Messages} failed messages, {Chunks} orphan chunks, {Hours} hourly totals, {Audit} rows of the audit list and {Notices} notices; gave back {Pages} pages")]
    public static partial void MaintenanceDone(ILogger logger, long decisions, long messages, long chunks, long hours, long audit, long notices, long pages);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 451, Message = "Housekeeping of the store failed; it goes on in ten minutes")]
    public static partial void MaintenanceFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 452, Message = "The queued message in row {Row} cannot be read; it is held")]
    public static partial void MessageUnreadable(ILogger logger, long row, Exception cause);
}
