namespace RelayGate.Core.Policy;

/// <summary>Usage of the levels of one <see cref="SenderAccount"/>, as the policy sees it at one time.</summary>
/// <param name="Rings">One for each of <see cref="SenderAccount.Levels"/>, in the same order.</param>
/// <param name="Now">Time of the usage clock, which never runs backwards.</param>
public readonly record struct UsageView(IReadOnlyList<UsageRing> Rings, DateTimeOffset Now);
