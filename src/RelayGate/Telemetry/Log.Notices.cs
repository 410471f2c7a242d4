using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Event ids: notices and webhooks 600–699.</summary>
internal static partial class Log
{
    [LoggerMessage(600, LogLevel.Error, "Notices could not be stored or sent; they are tried again in ten seconds")]
    public static partial void NoticesFailed(ILogger logger, Exception cause);

    [LoggerMessage(601, LogLevel.Error, "An error inside the gateway stopped a delivery to a webhook; it is tried again")]
    public static partial void WebhooksFailed(ILogger logger, Exception cause);

    [LoggerMessage(602, LogLevel.Warning, "Webhook {Name}: delivery {Id} failed for good: {Reason}")]
    public static partial void WebhookFailed(ILogger logger, string name, string id, string reason);
}
