using Microsoft.Extensions.Logging;
using RelayGate.Core.Mail;

namespace RelayGate.Telemetry;

/// <summary>Log messages of store and queue.</summary>
internal static partial class Log
{
    [LoggerMessage(Level = LogLevel.Critical, EventId = 400, Message = "The store failed; it is closed and opened again before the next write")]
    public static partial void StoreBroken(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 401, Message = "The store is open again")]
    public static partial void StoreReopened(ILogger logger);

    [LoggerMessage(Level = LogLevel.Error, EventId = 402, Message = "The store cannot be opened; it is tried again once a second")]
    public static partial void ReopenFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 403, Message = "The store is full: submission answers 452 until there is room")]
    public static partial void StoreFull(ILogger logger);

    [LoggerMessage(Level = LogLevel.Error, EventId = 404, Message = "A write failed; its batch is written one by one")]
    public static partial void StatementFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Critical, EventId = 405, Message = "The outcome of an attempt could not be recorded; message {Ref} is held")]
    public static partial void OutcomeRefused(ILogger logger, QueueId @ref);

    [LoggerMessage(Level = LogLevel.Error, EventId = 406, Message = "{Count} outcomes of deliveries wait for the store; next try in {Seconds} s, no delivery starts until then")]
    public static partial void OutcomesWait(ILogger logger, int count, double seconds);

    [LoggerMessage(Level = LogLevel.Warning, EventId = 407, Message = "The outcomes that waited are recorded; deliveries go on")]
    public static partial void OutcomesWritten(ILogger logger);

    [LoggerMessage(Level = LogLevel.Critical, EventId = 409, Message = "The outcome of an attempt could not be recorded before the stop; message {Ref} is attempted again, also for those who have it")]
    public static partial void OutcomeLost(ILogger logger, QueueId @ref);

    [LoggerMessage(Level = LogLevel.Error, EventId = 410, Message = "The queue could not be looked at; it is tried again in a second")]
    public static partial void SweepFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 411, Message = "Queued messages could not be read; they are tried again later")]
    public static partial void LoadFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Critical, EventId = 408, Message = "The store {Path} is gone: no mail is accepted. Put the file back and restart; what the process still holds open is lost when it ends")]
    public static partial void StoreMissing(ILogger logger, string path);

    [LoggerMessage(Level = LogLevel.Error, EventId = 412, Message = "The room on the disk of the store cannot be looked up; it counts as full until it can")]
    public static partial void SpaceUnknown(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Critical, EventId = 413, Message = "An error inside the gateway on the store's writer; it goes on")]
    public static partial void WriterFault(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Critical, EventId = 414, Message = "The log of the store cannot be moved into the database file")]
    public static partial void CheckpointFailed(ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 415, Message = "Held mail could not be looked at ({What}); it is tried again in a minute")]
    public static partial void ReleaseFailed(ILogger logger, string what, Exception cause);

    [LoggerMessage(Level = LogLevel.Error, EventId = 416, Message = "Queued mail could not be moved to hold or back; what is suspended is not sent all the same, and it is done at the next change or start")]
    public static partial void SuspensionFailed(ILogger logger, Exception cause);
}
