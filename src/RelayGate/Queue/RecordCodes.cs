using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>What became of something offered; kept in its record and changed as deliveries end.</summary>
/// <remarks>The numbers are stored.</remarks>
public enum RecordOutcome
{
    /// <summary>In the queue, not attempted yet.</summary>
    Queued = 2,

    /// <summary>In the queue, attempted, to be tried again for at least one recipient.</summary>
    Deferred = 3,

    /// <summary>In the queue, parked.</summary>
    Held = 4,

    /// <summary>Delivered to all recipients.</summary>
    Delivered = 5,

    /// <summary>Failed for all recipients.</summary>
    Failed = 6,

    /// <summary>Delivered to some recipients and failed for others.</summary>
    PartlyFailed = 7,

    /// <summary>Deleted by the administrator before all recipients had ended.</summary>
    Deleted = 8,

    /// <summary>It never entered the queue.</summary>
    Refused = 9,
}

/// <summary>What a record is about. The numbers are stored.</summary>
public enum RecordKind
{
    Offered = 2,

    /// <summary>A DSN of our own.</summary>
    Dsn = 3,

    /// <summary>A mail of notices, of our own.</summary>
    Notice = 4,
}

/// <summary>Flags of a stored message. The numbers are stored; its class stands in the bits of <see cref="MessageRows.ClassBits"/>.</summary>
[Flags]
internal enum MessageFlags
{
    None = 0,
    HeaderNeedsUtf8 = 1,
    BodyIs8Bit = 2,
    IsDsn = 4, // Or any other mail of our own making.
    IsChunked = 16,

    /// <summary>It was held when it came and counts at no level yet.</summary>
    NotCounted = 32,

    /// <summary>Any other PHP script of its uid may have made it.</summary>
    ScriptInDoubt = 64,

    /// <summary>REQUIRETLS (RFC 8689 §4).</summary>
    RequiresTls = 128,

    // 256 to 1792: the class (MessageRows.ClassBits).

    /// <summary>TLS-Required: No (RFC 8689 §5).</summary>
    IgnoresTlsPolicies = 2048,
}

internal static class RecordCodes
{
    /// <summary>Stored number of a verdict; never 0 or 1, so that all rows have one size.</summary>
    public static int Of(Verdict verdict) => (int)verdict + 2;

    public static Verdict Verdict(long stored) => (Verdict)(stored - 2);
}
