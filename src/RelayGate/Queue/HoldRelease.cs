using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What one write of the release engine did.</summary>
internal sealed class HoldReleaseStep
{
    /// <summary>Released, with what they are for the log.</summary>
    public List<(long Seq, QueueId Id, string Subscription)> Released { get; } = [];

    /// <summary>Messages that cannot go for another reason than a limit.</summary>
    public List<(QueueId Id, string Subscription, string Reason)> Stuck { get; } = [];

    /// <summary>Objects at which messages wait now instead, and when there is room, by the usage clock.</summary>
    public List<(AccountKey Key, DateTimeOffset RoomAt)> Moved { get; } = [];

    /// <summary>Senders that were passed over, and where each has an older message waiting: that one goes first.</summary>
    public Dictionary<string, AccountKey> Behind { get; } = [];

    /// <summary>Something waits at the object no more.</summary>
    public bool HasServed => Released.Count + Stuck.Count + Moved.Count > 0;

    /// <summary>When there is room at the object itself, by the usage clock; null: there was for all.</summary>
    public DateTimeOffset? RoomAt { get; set; }

    /// <summary>Accounts have changed since they were looked up: the rest is to be tried again.</summary>
    public bool IsStale { get; set; }
}

/// <summary>Releases what waits at one object while there is room, and counts it, all in one transaction: <see cref="RelayPolicy.Decide"/> says so for each.</summary>
internal static class HoldRelease
{
    public const string Gateway = "the gateway";

    private const string SelectCounted = "select flags, (select count(*) from recipient where message = seq) from message where seq = ?";

    /// <param name="offers">In turn, each with its account.</param>
    public static HoldReleaseStep Execute(WriteContext context, AccountKey key, IReadOnlyList<HeldOffer> offers, DateTimeOffset now)
    {
        var step = new HoldReleaseStep();
        string? turn = null;
        foreach (HeldOffer offer in offers)
        {
            if (step.Behind.ContainsKey(offer.For) || HoldRows.Find(context, offer.Seq) is not ({ } held, { } id) || held.At != key)
                continue; // Deleted, held by hand or moved meanwhile.
            SenderAccount account = offer.Account!;
            if (context.VersionOf(account.Subscription) != account.Version)
            {
                step.IsStale = true;
                break;
            }
            if (account.Subscription is { } owner && owner != held.Subscription)
            {
                Stick(context, step, offer, held, id, Reasons.SubscriptionChanged, now); // It would leave from one's address and count at the other.
                turn = offer.For;
                continue;
            }
            if (HoldTurns.OlderElsewhere(context, account, key, offer) is { } before)
            {
                step.Behind.Add(offer.For, before);
                turn = offer.For;
                continue;
            }
            if (HoldTurns.HasOlder(context, key, offer))
            {
                step.IsStale = true; // It came here after the page was read.
                break;
            }
            UsageView usage = context.Usage.ViewForRelease(account.Levels, key, context.Connection);
            Decision decision = RelayPolicy.Decide(account, usage, offer.Envelope, offer.Message);
            if (decision.IsAccepted)
                Release(context, step, offer, account, decision, held, id, now);
            else if (decision is not { Stopped: { } stopped, RoomAt: { } room })
                Stick(context, step, offer, held, id, decision.Reason, now);
            else if (stopped.Key == key || HoldEstimate.IsFull(account, usage, offer.Envelope, offer.Message, key))
                step.RoomAt = room; // Where it waits has no room: it would only come back from where others wait before it.
            else
                Move(context, step, offer, stopped.Key, room, now);
            if (step.RoomAt is not null)
                break;
            turn = offer.For;
        }
        if (context.Usage.WaitingAt(key) == 0)
            HoldTurns.Forget(context, key);
        else if (turn is not null)
            HoldTurns.Note(context, key, turn);
        return step;
    }

    /// <summary>It waits at another object from now on.</summary>
    private static void Move(WriteContext context, HoldReleaseStep step, HeldOffer offer, AccountKey to, DateTimeOffset roomAt, DateTimeOffset now)
    {
        HoldRows.Hold(context, offer.Seq, new HoldEntry(HoldReason.Limit, HoldKey.Of(to), offer.For), now);
        step.Moved.Add((to, roomAt));
    }

    private static void Release(
        WriteContext context, HoldReleaseStep step, HeldOffer offer, SenderAccount account, Decision decision, in HeldMessage held, byte[] id, DateTimeOffset now)
    {
        Count(context, account, offer, decision.IsExempt, now);
        HoldRows.Release(context, offer.Seq, held, now, counts: true);
        RecordRows.SetOutcome(context, id, RecordOutcome.Queued, now);
        OrderRows.Add(context, id, OrderRows.Released, Gateway, now);
        step.Released.Add((offer.Seq, offer.Id, held.Subscription));
    }

    /// <summary>Counts a message at its levels, and for its script.</summary>
    public static void Count(WriteContext context, SenderAccount account, HeldOffer offer, bool isExempt, DateTimeOffset now)
    {
        int recipients = offer.Envelope.Recipients.Length;
        context.Usage.Count(account, MessageClasses.Of(account, offer.Envelope, offer.Message), isExempt, recipients, context.Connection);
        context.Usage.Scripts.Count(offer.Message.Script, account.Subscription, Verdict.Accept, recipients, now);
    }

    /// <summary>Counts a message of which the sender's account is not to be had, or has gone to another subscription: at what its row names.</summary>
    public static void CountAtRow(WriteContext context, long seq, string subscription, HeldOffer? offer, DateTimeOffset now)
    {
        SqliteStatement row = context.Prepared(SelectCounted).Bind(1, seq);
        row.Step();
        (MessageClass messageClass, int recipients) = (MessageRows.ClassOf((MessageFlags)row.Int64(0)) ?? MessageClass.Login, row.Int32(1));
        row.Reset();
        var account = new SenderAccount
        {
            Identity = offer?.Identity ?? SenderIdentity.Anonymous(null),
            Subscription = subscription,
            Levels =
            [
                new LevelLimit(AccountKey.Server, LimitSet.Unlimited, ""),
                new LevelLimit(new AccountKey(Level.Subscription, subscription), LimitSet.Unlimited, ""),
            ],
        };
        context.Usage.Count(account, messageClass, isExempt: false, recipients, context.Connection);
        context.Usage.Scripts.Count(offer?.Message.Script, subscription, Verdict.Accept, recipients, now);
    }

    /// <summary>It would be refused now: it stays where people find it with the reason, is tried again when accounts change, and expires.</summary>
    private static void Stick(WriteContext context, HoldReleaseStep step, HeldOffer offer, in HeldMessage held, byte[] id, string reason, DateTimeOffset now)
    {
        string at = HoldKey.Of(new AccountKey(Level.Subscription, held.Subscription));
        HoldRows.Hold(context, offer.Seq, new HoldEntry(HoldReason.Refused, at, offer.For, reason), now);
        RecordRows.SetOutcome(context, id, RecordOutcome.Held, now);
        step.Stuck.Add((offer.Id, held.Subscription, reason));
    }
}
