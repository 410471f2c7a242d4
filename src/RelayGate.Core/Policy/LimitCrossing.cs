namespace RelayGate.Core.Policy;

/// <summary>What happened between the use of a limit and the limit.</summary>
public enum CrossingKind
{
    /// <summary>Use has come to the share of the limit at which it is warned.</summary>
    Warning,

    /// <summary>Mail was stopped by the limit, or is over it where it is not enforced.</summary>
    Exceeded,

    /// <summary>Use has fallen well below the share at which it is warned.</summary>
    Recovered,
}

/// <summary>One limit was crossed. Told once for each crossing, not for each message.</summary>
/// <param name="Limit">As it was in force.</param>
/// <param name="Used">In its window, with the message that crossed it.</param>
/// <param name="At">By the wall clock.</param>
/// <param name="Subscription">Whose object it is; null for server and plan, and where nobody knows.</param>
public readonly record struct LimitCrossing(CrossingKind Kind, AccountKey Key, Limit Limit, long Used, DateTimeOffset At, string? Subscription);
