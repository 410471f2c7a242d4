using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Event ids: reports 700–799.</summary>
internal static partial class Log
{
    [LoggerMessage(700, LogLevel.Error, "Reports could not be made or sent; they are tried again in a minute")]
    public static partial void ReportsFailed(ILogger logger, Exception cause);

    [LoggerMessage(701, LogLevel.Error, "TLS reports could not be made or sent; they are tried again in a minute")]
    public static partial void TlsReportsFailed(ILogger logger, Exception cause);

    [LoggerMessage(702, LogLevel.Error, "A TLS report for {Domain} met an error inside the gateway; it is tried again later")]
    public static partial void TlsReportFault(ILogger logger, Exception cause, string domain);
}
