namespace RelayGate.Core.Notices;

/// <summary>When a receiver of mail is told.</summary>
/// <remarks>
/// A mail holds everything that waits for its receiver. It leaves at once for an alarm of a kind that the receiver was not told of within the
/// last period; everything else waits until one period has passed since the last mail. So each kind of alarm causes at most one mail in a period,
/// and any other mail (the digest) comes at least one period after the mail before it. Where nothing waits, nothing is sent.
/// </remarks>
public static class NoticeSchedule
{
    /// <param name="now">Of a clock that never runs backwards, as the other times.</param>
    /// <param name="told">When the receiver was last told of this kind; null: never.</param>
    /// <param name="mailed">When the receiver was last sent a mail; null: never.</param>
    public static DateTimeOffset DueAt(NoticeKind kind, DateTimeOffset now, DateTimeOffset? told, DateTimeOffset? mailed, TimeSpan period)
    {
        if (NoticeKinds.IsAlarm(kind) && (told is null || now - told.Value >= period))
            return now;
        return mailed is { } last && last + period > now ? last + period : now;
    }
}
