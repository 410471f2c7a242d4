namespace RelayGate.Core.Notices;

/// <summary>When a delivery that failed is tried again: the times that Standard Webhooks proposes, about three days in all.</summary>
public static class WebhookSchedule
{
    /// <summary>Attempts of one delivery, the first included.</summary>
    public const int MaxAttempts = 10;

    private static readonly TimeSpan[] Waits =
    [
        TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(30), TimeSpan.FromHours(2), TimeSpan.FromHours(5),
        TimeSpan.FromHours(10), TimeSpan.FromHours(14), TimeSpan.FromHours(20), TimeSpan.FromHours(24),
    ];

    /// <param name="attempts">Those that failed so far, at least 1.</param>
    /// <param name="random">0 (inclusive) to 1 (exclusive): up to a tenth is added, so that many do not come back at once.</param>
    /// <returns>Null: it is given up.</returns>
    public static TimeSpan? Next(int attempts, double random) => attempts >= MaxAttempts ? null : Waits[attempts - 1] * (1 + random / 10);
}
