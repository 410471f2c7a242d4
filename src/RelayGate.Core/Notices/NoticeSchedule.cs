namespace RelayGate.Core.Notices;

/// <summary>When a receiver of mail is told.</summary>
/// <remarks>
/// A mail holds everything that waits for its receiver. It leaves at once for an alarm of an object and kind that the receiver was not told of within
/// the last period, unless <see cref="MaxAtOnce"/> mails have left within it; everything else waits until one period has passed since the last mail.
/// So any other mail (the digest) comes at least one period after the mail before it, and nothing waits longer than one period. Where nothing waits,
/// nothing is sent.
/// </remarks>
public static class NoticeSchedule
{
    /// <summary>Mails to one receiver within a period after which alarms wait for the digest as well.</summary>
    public const int MaxAtOnce = 10;

    /// <param name="now">Of a clock that never runs backwards, as the other times.</param>
    /// <param name="told">When the receiver was last told of this kind and object; null: never.</param>
    /// <param name="mailed">When the receiver was last sent a mail; null: never.</param>
    /// <param name="mails">Mails the receiver was sent within the last period.</param>
    public static DateTimeOffset DueAt(NoticeKind kind, DateTimeOffset now, DateTimeOffset? told, DateTimeOffset? mailed, int mails, TimeSpan period)
    {
        if (NoticeKinds.IsAlarm(kind) && mails < MaxAtOnce && (told is null || now - told.Value >= period))
            return now;
        return mailed is { } last && last + period > now ? last + period : now;
    }
}
