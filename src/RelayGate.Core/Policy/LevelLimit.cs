namespace RelayGate.Core.Policy;

/// <summary>The limits in force at one level for one sender, and where they come from.</summary>
/// <param name="Limits">Without a boost.</param>
/// <param name="Origin">For people: <c>own</c>, <c>plan basic --each mailbox</c>, <c>Limits:Defaults:Mailbox</c>.</param>
public sealed record LevelLimit(AccountKey Key, LimitSet Limits, string Origin, OverLimitAction Action = OverLimitAction.Refuse)
{
    /// <summary>Off: mail is counted, and never refused or held for these limits.</summary>
    public bool IsEnforced { get; init; } = true;

    /// <summary>Percent of a limit from which on it is warned of; 0: never.</summary>
    public int WarnAt { get; init; }

    /// <summary>More for a time, or null.</summary>
    public LimitBoost? Boost { get; init; }

    /// <summary>The limits at a time of the usage clock.</summary>
    public LimitSet At(DateTimeOffset now) => Boost is { } boost && now < boost.Until ? boost.Limits : Limits;

    /// <summary>Those that mail must fit into at a time of the usage clock.</summary>
    public LimitSet EnforcedAt(DateTimeOffset now) => IsEnforced ? At(now) : LimitSet.Unlimited;
}

/// <summary>Room that was added by hand until a time: <c>limit boost</c>.</summary>
/// <param name="Amount">Messages or recipients that each limit of the object has more, at least 1.</param>
/// <param name="Until">Of the usage clock, so that no step of the wall clock ends it early or late.</param>
/// <param name="Limits">The object's limits with it.</param>
public sealed record LimitBoost(long Amount, DateTimeOffset Until, LimitSet Limits);
