namespace RelayGate.InteropTests.Storm;

/// <summary>How a domain of the storm treats mail.</summary>
internal enum StormKind
{
    /// <summary>Four of five domains: takes everything, once.</summary>
    Good,

    // Those that take mail in the end.
    GreylistsEachMessage,
    ResetsEverySecondConnection,
    TakesAndClosesWithoutReplyAtFirst,
    IsFullAtFirst,
    RepliesMalformedAtFirst,
    HasDeadFirstMx,
    RepliesOctetByOctet,
    ResetsAfterItsReply,
    SpeaksNoTlsAfterStartTls,

    // Those that never do.
    RefusesRecipients,
    RefusesContent,
    WantsContentWithoutRecipients,
    ClosesAtOnce,
    IsSilent,
    GoesAwayAtMail,
    TakesAndNeverReplies,
    IsBrokenInDns,
    HasNullMx,
    DoesNotExist,
}

internal static class StormKinds
{
    private static readonly StormKind[] Misbehaving = [.. Enum.GetValues<StormKind>().Where(k => k != StormKind.Good)];

    /// <summary>Every fifth domain misbehaves, each kind in turn.</summary>
    public static StormKind Of(int domain) => domain % 5 == 0 ? Misbehaving[domain / 5 % Misbehaving.Length] : StormKind.Good;

    /// <summary>Whether mail ends delivered; else with a report.</summary>
    public static bool Delivers(this StormKind kind) => kind < StormKind.RefusesRecipients;
}
