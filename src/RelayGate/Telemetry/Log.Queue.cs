using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Log messages of store and queue.</summary>
internal static partial class Log
{
    [LoggerMessage(Level = LogLevel.Critical, EventId = 400, Message = "The store failed; it is closed and opened again before the next write")]
    public static partial void StoreBroken(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 401, Message = "The store is open again")]
    public static partial void StoreReopened(ILogger logger);
}
