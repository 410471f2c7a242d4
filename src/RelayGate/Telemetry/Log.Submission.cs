using System.Net;
using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>Event ids: submission and TLS 100–199.</summary>
internal static partial class Log
{
    [LoggerMessage(100, LogLevel.Error, "Session on listener {Listener} from {Client} ended by an internal error")]
    public static partial void SessionFailed(ILogger logger, Exception error, string listener, IPAddress? client);

    [LoggerMessage(101, LogLevel.Debug, "Session on listener {Listener} from {Client} lost: {Reason}")]
    public static partial void SessionLost(ILogger logger, string listener, IPAddress? client, string reason);

    [LoggerMessage(102, LogLevel.Debug, "Session on listener {Listener} from {Client} ended: {Reply}")]
    public static partial void SessionEnded(ILogger logger, string listener, IPAddress? client, string reply);

    [LoggerMessage(103, LogLevel.Information, "TLS handshake on listener {Listener} from {Client} failed: {Reason}")]
    public static partial void HandshakeFailed(ILogger logger, string listener, IPAddress? client, string reason);

    [LoggerMessage(104, LogLevel.Information, "AUTH {Mechanism} on listener {Listener} from {Client}: {Result}")]
    public static partial void Authenticated(ILogger logger, string mechanism, string listener, IPAddress? client, string result);

    [LoggerMessage(105, LogLevel.Warning, "Session on listener {Listener} from {Client} turned away: {Reply}")]
    public static partial void SessionRefused(ILogger logger, string listener, IPAddress? client, string reply);

    [LoggerMessage(106, LogLevel.Warning, "When logins were used last could not be written, or passwords that were replaced not ended; tried again")]
    public static partial void UpkeepFailed(ILogger logger, Exception error);

    [LoggerMessage(150, LogLevel.Information, "Certificate {Path} loaded, valid until {NotAfter:u}")]
    public static partial void CertificateLoaded(ILogger logger, string path, DateTimeOffset notAfter);

    [LoggerMessage(151, LogLevel.Error, "Certificate {Path} has changed but cannot be used; the one before stays in use")]
    public static partial void CertificateNotLoaded(ILogger logger, Exception error, string path);

    [LoggerMessage(152, LogLevel.Warning, "Certificate {Path} expires at {NotAfter:u}")]
    public static partial void CertificateExpires(ILogger logger, string path, DateTimeOffset notAfter);

    [LoggerMessage(153, LogLevel.Error, "Certificate {Path} has expired at {NotAfter:u}; clients that verify it cannot connect")]
    public static partial void CertificateExpired(ILogger logger, string path, DateTimeOffset notAfter);
}
