using RelayGate.Core.Replies;

namespace RelayGate.Core.Policy;

/// <summary>How long a local address keeps off a provider that refuses it, by what the refusal is about. Pure.</summary>
public static class PauseSchedule
{
    /// <summary>Longest pause, however often the provider has said the same. 24 h.</summary>
    public static TimeSpan Longest { get; } = TimeSpan.FromHours(24);

    private static readonly TimeSpan Blocked = TimeSpan.FromHours(2);

    /// <summary>Whether the address keeps off entirely; at <see cref="ReplyClass.Rate"/> it only goes slower.</summary>
    public static bool IsPause(ReplyClass replyClass) => replyClass is ReplyClass.IpBlocked or ReplyClass.IpDeferred or ReplyClass.Ptr;

    /// <summary>Blocked or without reverse DNS: 2 h, doubled each time up to <see cref="Longest"/>; put off for complaints: 2 to 4 h; too fast: 30 to 90 min.</summary>
    /// <param name="repetition">1 for the first refusal, one more for each probe that was refused since.</param>
    /// <param name="random">0 (inclusive) to 1 (exclusive).</param>
    public static TimeSpan LengthOf(ReplyClass replyClass, int repetition, double random) => replyClass switch
    {
        ReplyClass.Rate => TimeSpan.FromMinutes(30 + 60 * random),
        ReplyClass.IpDeferred => TimeSpan.FromHours(2 + 2 * random),
        _ => Shorter(Blocked * Math.Pow(2, Math.Clamp(repetition - 1, 0, 20)), Longest),
    };

    private static TimeSpan Shorter(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
