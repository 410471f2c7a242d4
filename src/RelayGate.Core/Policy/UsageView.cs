namespace RelayGate.Core.Policy;

/// <summary>Usage of the levels of one <see cref="SenderAccount"/>, as the policy sees it at one time.</summary>
/// <param name="Rings">One for each of <see cref="SenderAccount.Levels"/>, in the same order.</param>
/// <param name="Now">Time of the usage clock, which never runs backwards and does not follow steps of the wall clock.</param>
/// <param name="Behind">How far the usage clock is behind the wall clock: only for times that are shown.</param>
public readonly record struct UsageView(IReadOnlyList<UsageRing> Rings, DateTimeOffset Now, TimeSpan Behind = default)
{
    /// <summary>What is held already, as far as it concerns this sender.</summary>
    public HeldView Held { get; init; }

    /// <summary>A time of the usage clock as the wall clock will show it.</summary>
    public DateTimeOffset ToWall(DateTimeOffset time) => time == DateTimeOffset.MaxValue ? time : time + Behind;
}
