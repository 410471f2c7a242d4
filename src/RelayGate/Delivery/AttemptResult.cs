using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Queue;
using RelayGate.Core.Tls;

namespace RelayGate.Delivery;

/// <summary>What one attempt came to, before the retry schedule and the sender's wishes are asked.</summary>
internal sealed class AttemptResult(int recipients, TimeProvider time)
{
    private List<HostRefusal>? _hostRefusals;

    /// <summary>In the order of the job's recipients. Complete at the end, and never <see cref="OutcomeKind.NextHost"/>.</summary>
    public RecipientOutcome?[] Outcomes { get; } = new RecipientOutcome?[recipients];

    /// <summary>With whom each of <see cref="Outcomes"/> was won; null: with nobody, or it is not known.</summary>
    public AttemptHost?[] Hosts { get; } = new AttemptHost?[recipients];

    public DeliveryStage Stage { get; set; } = DeliveryStage.Local;

    /// <summary>The address tried last; null: none was.</summary>
    public NextHopAddress? NextHop { get; set; }

    /// <summary>Who runs the host that was tried last, or that refused our address, or that it waits for, else the first host of the next hop; "" without one.</summary>
    public string Provider { get; set; } = "";

    /// <summary>Local address after connect, or "".</summary>
    public string Local { get; set; } = "";

    /// <summary>What came of TLS with the address tried last; null: it did not get that far.</summary>
    public TlsOutcome? TlsOutcome { get; set; }

    /// <summary>Version and cipher, or null.</summary>
    public string? Tls => TlsOutcome?.Description;

    /// <summary>Nothing was tried, because delivery ends or somebody else has ended or held the message: no attempt, the job goes back to the queue.</summary>
    public bool IsNoAttempt { get; set; }

    /// <summary>The first address to which no connection became free in time; null: none was waited for in vain.</summary>
    public NextHopAddress? Busy { get; set; }

    /// <summary>Nothing was tried, because it may not be now: no attempt, the job is put off. Null: it was tried.</summary>
    public PutOff? Wait { get; private set; }

    /// <summary>The next hop has refused the local address: for what, and until when, those wait that it was said of.</summary>
    public (WaitKey For, DateTimeOffset Until)? AddressWait { get; set; }

    /// <summary>How hosts have ended for recipients that are not delivered by them, in order: <see cref="HostRefusal.MaxKept"/> at most.</summary>
    public IReadOnlyList<HostRefusal> HostRefusals => _hostRefusals ?? [];

    /// <summary>How long it waited for a free connection, which says nothing of the next hop.</summary>
    public TimeSpan Waited { get; private set; }

    /// <summary>Whether no recipient has an outcome.</summary>
    public bool IsEmpty => Array.TrueForAll(Outcomes, o => o is null);

    /// <summary>Whether another host may be tried for some recipient.</summary>
    public bool WantsNextHost => Array.Exists(Outcomes, IsOpen);

    /// <summary>Adds to <see cref="Waited"/> how long a session is waited for.</summary>
    public async ValueTask<SmtpClientSession?> WaitAsync(ValueTask<SmtpClientSession?> taking)
    {
        if (taking.IsCompletedSuccessfully)
            return taking.Result;
        long started = time.GetTimestamp();
        SmtpClientSession? session = await taking;
        Waited += time.GetElapsedTime(started);
        return session;
    }

    /// <summary>Takes over what a transaction has decided; the rest stays as it was.</summary>
    /// <param name="subset">The recipients of the transaction; null: all of the job's.</param>
    public void Take(MailTransaction transaction, int[]? subset)
    {
        for (int i = 0; i < transaction.Outcomes.Length; i++)
        {
            if (transaction.Outcomes[i] is not { } outcome)
                continue;
            int at = subset?[i] ?? i;
            (Outcomes[at], Hosts[at]) = (After(Outcomes[at], outcome), transaction.Host);
        }
    }

    /// <summary>Keeps what the host that is noted now has refused, or that it was not reached: another host may say something else yet.</summary>
    /// <param name="outcomes">What it came to there.</param>
    /// <param name="subset">The recipients of <paramref name="outcomes"/>; null: all of the job's.</param>
    public void NoteRefusals(ReadOnlySpan<RecipientOutcome?> outcomes, int[]? subset)
    {
        for (int i = 0; i < outcomes.Length && (_hostRefusals?.Count ?? 0) < HostRefusal.MaxKept; i++)
        {
            if (outcomes[i] is not { Kind: not OutcomeKind.Delivered } outcome || IsSame(outcomes[..i], outcome))
                continue;
            int alike = 1;
            foreach (RecipientOutcome? other in outcomes[(i + 1)..])
                alike += IsSame(other, outcome) ? 1 : 0;
            NoteRefusal(outcome, subset?[i] ?? i, alike);
        }
    }

    /// <summary>The host that is noted now does nothing for any that no reply has decided: that is kept, and is their outcome until another host says something else.</summary>
    public void RefuseRest(RecipientOutcome outcome)
    {
        if (Array.FindIndex(Outcomes, IsOpen) is >= 0 and int first && (_hostRefusals?.Count ?? 0) < HostRefusal.MaxKept)
            NoteRefusal(outcome, first, Outcomes.Count(IsOpen));
        DecideRest(outcome, new AttemptHost(NextHop!.Host, NextHop.Remote, Local, NextHop.Provider, Tls));
    }

    private void NoteRefusal(RecipientOutcome outcome, int recipient, int recipients) => (_hostRefusals ??= new(1)).Add(new HostRefusal(
        DeliveryOutcome.NameOf(Stage), NextHop!.Host, NextHop.Remote, Local, NextHop.Provider, recipient, recipients, outcome.Text, outcome.Status, outcome.Finding));

    private static bool IsOpen(RecipientOutcome? outcome) => outcome is null or { Kind: OutcomeKind.NextHost };

    private static bool IsSame(ReadOnlySpan<RecipientOutcome?> outcomes, RecipientOutcome outcome)
    {
        foreach (RecipientOutcome? other in outcomes)
        {
            if (IsSame(other, outcome))
                return true;
        }
        return false;
    }

    private static bool IsSame(RecipientOutcome? other, RecipientOutcome outcome) =>
        other is not null && (ReferenceEquals(other, outcome) || (other.Kind == outcome.Kind && other.Text == outcome.Text));

    /// <summary>A host that may do better another time outweighs those that never will.</summary>
    private static RecipientOutcome After(RecipientOutcome? before, RecipientOutcome outcome) =>
        outcome.FailsAtTheEnd && before is { FailsAtTheEnd: false } ? outcome with { FailsAtTheEnd = false } : outcome;

    /// <summary>Gives this outcome to all that no reply has decided.</summary>
    /// <param name="host">With whom it was won, or null.</param>
    public void DecideRest(RecipientOutcome outcome, AttemptHost? host = null)
    {
        for (int i = 0; i < Outcomes.Length; i++)
        {
            if (IsOpen(Outcomes[i]))
                (Outcomes[i], Hosts[i]) = (After(Outcomes[i], outcome), host);
        }
    }

    /// <summary>
    /// What is left may not be tried now. Where nothing was tried yet, the job is put off and no attempt is recorded; else the attempt stands, and
    /// who has no reply yet is deferred with this reason, and so is what no host asked so far will ever do.
    /// </summary>
    /// <param name="provider">At whom it waits; null: at nobody in particular.</param>
    public void PutOff(PutOff wait, string? provider = null)
    {
        if (IsEmpty)
            (Wait, Provider) = (wait, provider ?? Provider);
        RecipientOutcome outcome = RecipientOutcome.Local(OutcomeKind.Deferred, wait.Status, wait.Text) with { Wait = wait.Cause };
        for (int i = 0; i < Outcomes.Length; i++)
        {
            if (Outcomes[i] is null or { Kind: OutcomeKind.NextHost, FailsAtTheEnd: true })
                Outcomes[i] = outcome;
        }
    }

    /// <summary>
    /// No host is left: what wanted another one waits, but for what no host will ever do; and what no host was left for waits for the same reason: that our
    /// address was refused, where it was, else the last one.
    /// </summary>
    public void Close()
    {
        int why = Array.FindLastIndex(Outcomes, static o => o is { ConcernsEgress: true });
        if (why < 0)
            why = Array.FindLastIndex(Outcomes, static o => o is { Kind: OutcomeKind.NextHost or OutcomeKind.Deferred });
        (RecipientOutcome? reason, AttemptHost? host) = why < 0 ? (null, null) : (Outcomes[why], Hosts[why]);
        for (int i = 0; i < Outcomes.Length; i++)
        {
            if ((Outcomes[i] ?? reason) is not { Kind: OutcomeKind.NextHost or OutcomeKind.Deferred } open)
                continue;
            if (Outcomes[i] is null)
                Hosts[i] = host;
            if (open.Kind == OutcomeKind.NextHost || Outcomes[i] is null)
                Outcomes[i] = open.FailsAtTheEnd ? open with { Kind = OutcomeKind.Failed } : open with { Kind = OutcomeKind.Deferred, Status = $"4{open.Status[1..]}" };
        }
    }
}
