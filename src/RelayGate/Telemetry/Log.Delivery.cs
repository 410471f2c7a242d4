using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Log messages of delivery and DNS.</summary>
internal static partial class Log
{
    [LoggerMessage(Level = LogLevel.Error, EventId = 500, Message = "An error inside the gateway stopped a delivery attempt of message {Ref}")]
    public static partial void DeliveryFault(ILogger logger, Exception cause, string @ref);

    [LoggerMessage(Level = LogLevel.Error, EventId = 501, Message = "An error inside the gateway: the sender of message {Ref} gets no delivery status notification")]
    public static partial void DsnFault(ILogger logger, Exception cause, string @ref);

    [LoggerMessage(Level = LogLevel.Error, EventId = 505, Message = "The report about message {Ref} goes out unsigned: in whose name it is could not be looked up")]
    public static partial void DsnOriginFault(ILogger logger, Exception cause, string @ref);

    [LoggerMessage(Level = LogLevel.Information, EventId = 503, Message = "The rules on replies of {Path} are in force ({Rules} rules in all)")]
    public static partial void ReplyRulesLoaded(ILogger logger, string path, int rules);

    [LoggerMessage(Level = LogLevel.Error, EventId = 504, Message = "The rules on replies stay as they are: {Faults}")]
    public static partial void ReplyRulesNotLoaded(ILogger logger, string faults);

    [LoggerMessage(Level = LogLevel.Error, EventId = 502, Message = "Held mail that is too old could not be ended; it is tried again")]
    public static partial void ExpiryFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 510, Message = "The state of {Egress} could not be stored, or what waits for it not be woken; it waits for its time")]
    public static partial void EgressStateFault(ILogger logger, Exception cause, string egress);

    [LoggerMessage(Level = LogLevel.Error, EventId = 540, Message = "MTA-STS policies could not be refreshed; it is tried again within the hour")]
    public static partial void StsRefreshFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 541, Message = "{Reason}; mail to the domain goes out as if it had none")]
    public static partial void StsPolicyNotHad(ILogger logger, string reason);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 542, Message = "{Reason}; the one fetched before counts until {Until:u}")]
    public static partial void StsPolicyNotRefreshed(ILogger logger, string reason, DateTimeOffset until);
}
