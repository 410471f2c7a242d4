using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Event ids: notices and webhooks 600–699.</summary>
internal static partial class Log
{
    [LoggerMessage(600, LogLevel.Error, "Notices could not be stored or sent; they are tried again in ten seconds")]
    public static partial void NoticesFailed(ILogger logger, Exception cause);
}
