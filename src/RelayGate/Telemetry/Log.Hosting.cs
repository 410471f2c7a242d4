using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>All log messages, one file for each area. Event ids: hosting 1–99.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "{Line}")]
    public static partial void MailEventHappened(ILogger logger, string line);

    [LoggerMessage(2, LogLevel.Warning, "The mail log cannot be written: {Reason}")]
    public static partial void MailLogFailed(ILogger logger, string reason);

    [LoggerMessage(3, LogLevel.Information, "Administration by uid {Uid}: {Method} {Path}{Query}{Fields}")]
    public static partial void AdministrationDone(ILogger logger, int uid, string method, string path, string query, string fields);

    [LoggerMessage(4, LogLevel.Error, "Administration failed: {Method} {Path}")]
    public static partial void AdministrationFailed(ILogger logger, Exception error, string method, string path);

    [LoggerMessage(5, LogLevel.Warning, "RelayGate:Postmaster is empty: mail to unqualified recipients of system users without a contact has nowhere to go")]
    public static partial void NoPostmaster(ILogger logger);

    [LoggerMessage(6, LogLevel.Warning, "RelayGate:Admin:Group is {Group}, which this host does not have: only root and uid {Uid} administrate (groupadd {Group}, or set it to null)")]
    public static partial void NoAdminGroup(ILogger logger, string group, uint uid);

    [LoggerMessage(7, LogLevel.Error, "A part of the gateway did not stop as it should")]
    public static partial void StopFailed(ILogger logger, Exception error);
}
