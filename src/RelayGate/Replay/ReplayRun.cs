using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;

namespace RelayGate.Replay;

/// <summary>The offers of a replay in order of time, each put before the policy.</summary>
internal sealed class ReplayRun(ReplayObjects objects, DateTimeOffset since)
{
    private const int MaxKeptEnvelope = 1000; // Recipients.

    private static readonly EnvelopeRecipient Somebody = new(new ForwardPath(MailboxAddress.Parse("replay@replay.invalid")));

    private static readonly ImmutableArray<(SenderAccount Account, MessageFacts Facts)> Senders = [.. Enum.GetValues<MessageClass>().Select(SenderOf)];

    private readonly PriorityQueue<Flood, DateTimeOffset> _floods = new(); // Merged refusals that go on: those of one minute, by source.
    private readonly Dictionary<int, Envelope> _envelopes = [];
    private readonly List<ReplayObject> _counted = [];
    private long _leftOut;
    private MailCount _offered;
    private MailCount _stopped;
    private MailCount _newlyStopped;
    private MailCount _newlyPassed;
    private DateTimeOffset? _first;

    /// <summary>Read from the time that is reported.</summary>
    public long Records { get; private set; }

    public void Replay(ReplayedRecord record)
    {
        ReplayUntil(record.At);
        if (record.At >= since)
            Records++;
        if (record.Ruling.Levels.IsEmpty)
            _leftOut += record.At >= since ? 1 : 0;
        else if (record.Repeats > 1)
            _floods.Enqueue(new Flood(record), record.At);
        else
            Offer(record, record.At, 1);
        objects.Trim();
    }

    /// <summary>No record comes any more.</summary>
    public void Finish() => ReplayUntil(DateTimeOffset.MaxValue);

    public ReplayReport Report(DateTimeOffset until)
    {
        ReplayItem[] items = [.. objects.All.SelectMany(o => o.Classes.Prepend(o)).Where(o => o.Item is not null).Select(o => o.Item!).OrderByDescending(i => i.Stopped.Messages).ThenBy(i => i.First)];
        return new ReplayReport
        {
            Since = since,
            Until = until,
            Records = Records,
            LeftOut = _leftOut,
            Offered = _offered,
            Stopped = _stopped,
            NewlyStopped = _newlyStopped,
            NewlyPassed = _newlyPassed,
            First = _first,
            Levels = [.. Enum.GetValues<Level>().Select(level => new LevelCount(
                level, objects.All.Count(o => o.IsSeen && o.Limit.Key.Level == level), objects.All.Count(o => o.IsHit && o.Limit.Key.Level == level)))],
            Items = [.. items.Take(LimitReplay.MaxItems)],
            ItemsOmitted = Math.Max(0, items.Length - LimitReplay.MaxItems),
        };
    }

    private void ReplayUntil(DateTimeOffset at)
    {
        while (_floods.TryPeek(out Flood? flood, out DateTimeOffset next) && next <= at)
        {
            _floods.Dequeue();
            flood.Done += Offer(flood.Record, next, flood.Same(next, since));
            if (flood.Done < flood.Record.Repeats)
                _floods.Enqueue(flood, flood.Next);
            objects.Trim();
        }
    }

    /// <param name="same">How many offers of this kind come before anything leaves a window: what is refused once is refused as often.</param>
    /// <returns>How many of them are done.</returns>
    private long Offer(ReplayedRecord record, DateTimeOffset at, long same)
    {
        if (at < since) // Before the limits that are tried out: what was accepted was accepted.
        {
            if (!record.WasAccepted)
                return same;
            objects.Find(record.Ruling.Levels, _counted);
            Count(record, at);
            return 1;
        }
        objects.Find(record.Ruling.Levels, _counted);
        Decision decision = Decide(record, at);
        bool isStopped = decision.Verdict != Verdict.Accept;
        long messages = isStopped ? same : 1;
        long recipients = messages * record.Recipients;
        _offered = _offered.Plus(messages, recipients);
        foreach (ReplayObject counted in _counted)
        {
            counted.IsSeen = true;
            counted.IsHit |= isStopped;
        }
        if (isStopped)
            Stop(decision, record, at, messages);
        else
            Count(record, at);
        if (!isStopped && !record.WasAccepted)
            _newlyPassed = _newlyPassed.Plus(1, record.Recipients);
        return messages;
    }

    private Decision Decide(ReplayedRecord record, DateTimeOffset at)
    {
        var levels = ImmutableArray.CreateBuilder<LevelLimit>(_counted.Count);
        var rings = new UsageRing[_counted.Count];
        for (int i = 0; i < rings.Length; i++)
        {
            levels.Add(_counted[i].Limit);
            rings[i] = _counted[i].Ring;
        }
        (SenderAccount sender, MessageFacts facts) = Senders[(int)ClassOf(record)];
        SenderAccount account = sender with { Levels = levels.MoveToImmutable(), IsExemptFromLimits = objects.IsExempt(record), ExemptClasses = objects.ExemptClasses };
        return RelayPolicy.Decide(account, new UsageView(rings, at), EnvelopeOf(record.Recipients), facts);
    }

    /// <summary>Somebody whose mail is of a class and passes every rule before the limits, as the record did.</summary>
    private static (SenderAccount Account, MessageFacts Facts) SenderOf(MessageClass value)
    {
        const int Uid = 1;
        IdentityKind kind = value switch
        {
            MessageClass.Local or MessageClass.Script => IdentityKind.Uid,
            MessageClass.Network => IdentityKind.Network,
            _ => IdentityKind.Login,
        };
        var account = new SenderAccount
        {
            Identity = new SenderIdentity(kind, "replay", Process: kind == IdentityKind.Uid ? new PeerProcess(Uid) : null),
            Subscription = "replay",
            ReversePathOwner = DomainOwner.Own,
            HeaderFromOwner = DomainOwner.Own,
            SenderMode = SenderMode.Trust,
            MaxMessageOctets = long.MaxValue,
            MaxRecipients = int.MaxValue,
        };
        var facts = new MessageFacts
        {
            FromFields = 1,
            From = [Somebody.ForwardPath.Address],
            Class = value,
        };
        return (account, facts);
    }

    private static MessageClass ClassOf(ReplayedRecord record) => record.Ruling.Class ?? MessageClass.Login;

    private void Count(ReplayedRecord record, DateTimeOffset at)
    {
        MessageClass value = ClassOf(record);
        foreach (ReplayObject counted in _counted)
        {
            if (counted.Limit.Key.Counts(value))
                counted.Ring.Add(record.Recipients, at);
        }
    }

    private void Stop(Decision decision, ReplayedRecord record, DateTimeOffset at, long messages)
    {
        LevelUsage by = decision.Stopped ?? throw new InvalidOperationException($"A replay ended with {decision.Reason}, which is no limit");
        long recipients = messages * record.Recipients;
        MailCount newly = record.WasAccepted ? new MailCount(messages, recipients) : default;
        _first ??= at;
        _stopped = _stopped.Plus(messages, recipients);
        _newlyStopped = _newlyStopped.Plus(newly.Messages, newly.Recipients);
        ReplayObject stopper = _counted.First(o => o.Limit.Key == by.Key);
        ReplayItem item = stopper.Item ?? new ReplayItem(by.Key, by.Limit?.ToString() ?? stopper.Limit.Limits.ToString(), by.Origin, stopper.Limit.Action, at, default, default);
        stopper.Item = item with { Stopped = item.Stopped.Plus(messages, recipients), Newly = item.Newly.Plus(newly.Messages, newly.Recipients) };
    }

    private Envelope EnvelopeOf(int recipients)
    {
        if (_envelopes.TryGetValue(recipients, out Envelope? known))
            return known;
        var envelope = new Envelope(new ReversePath(Somebody.ForwardPath.Address), [.. Enumerable.Repeat(Somebody, recipients)]);
        if (recipients <= MaxKeptEnvelope)
            _envelopes.Add(recipients, envelope);
        return envelope;
    }

    /// <summary>Merged refusals of which some are still to come.</summary>
    private sealed class Flood(ReplayedRecord record)
    {
        public ReplayedRecord Record => record;

        public long Done { get; set; }

        public DateTimeOffset Next => At(Done);

        /// <summary>How many come at or after a time and before the minute ends, or before <paramref name="bound"/> where that is sooner.</summary>
        public long Same(DateTimeOffset at, DateTimeOffset bound)
        {
            DateTimeOffset end = new(at.UtcTicks - at.UtcTicks % TimeSpan.TicksPerMinute + TimeSpan.TicksPerMinute, TimeSpan.Zero);
            if (at < bound && bound < end)
                end = bound;
            long low = Done + 1, high = record.Repeats;
            while (low < high) // The first that does not come before the end.
            {
                long middle = low + (high - low) / 2;
                (low, high) = At(middle) < end ? (middle + 1, high) : (low, middle);
            }
            return low - Done;
        }

        private DateTimeOffset At(long number) => number == 0 || record.Last <= record.At ? record.At
            : record.At + TimeSpan.FromTicks((long)((record.Last - record.At).Ticks * (double)number / (record.Repeats - 1)));
    }
}
