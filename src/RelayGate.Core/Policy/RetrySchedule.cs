namespace RelayGate.Core.Policy;

/// <summary>When a deferred recipient is tried again, and when no more. Pure: the clock and the random number come in.</summary>
/// <param name="First">Wait after the first attempt; short, because greylisting passes the second attempt after a minute or so.</param>
/// <param name="Longest">Longest wait.</param>
/// <param name="GiveUpAfter">Age of the message at which it fails (RFC 5321 §4.5.4.1: at least 4 to 5 days).</param>
public sealed record RetrySchedule(TimeSpan First, TimeSpan Longest, TimeSpan GiveUpAfter)
{
    /// <summary>The next attempt after one that ended now, or null: give up.</summary>
    /// <param name="attempts">Attempts that ended so far, this one included; at least 1.</param>
    /// <param name="random">0 (inclusive) to 1 (exclusive): spreads the wait over 80 % to 120 %, so that messages deferred together come back apart.</param>
    /// <returns>Never before <paramref name="now"/>; the last one is at the age of <see cref="GiveUpAfter"/> itself.</returns>
    public DateTimeOffset? Next(DateTimeOffset receivedAt, DateTimeOffset now, int attempts, double random)
    {
        DateTimeOffset end = receivedAt + GiveUpAfter;
        if (now >= end)
            return null;
        double factor = Math.Pow(2, Math.Clamp(attempts - 1, 0, 40));
        double wait = Math.Min(First.TotalSeconds * factor, Longest.TotalSeconds) * (0.8 + 0.4 * random);
        DateTimeOffset next = now + TimeSpan.FromSeconds(Math.Min(wait, GiveUpAfter.TotalSeconds));
        return next < end ? next : end;
    }
}
