using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;

namespace RelayGate.Queue;

/// <summary>Where a recipient of a queued message stands.</summary>
public enum RecipientState
{
    /// <summary>To be attempted at <see cref="QueuedRecipient.NextAttempt"/>.</summary>
    Pending,

    Delivered,

    Failed,
}

/// <summary>One recipient of a queued message.</summary>
/// <param name="Index">Position in the envelope; names the recipient within its message.</param>
/// <param name="Attempts">Delivery attempts that ended so far.</param>
/// <param name="LastReply">Last reply or error text, cleaned; null before the first attempt.</param>
/// <param name="DelayNoticed">The sender has been told of the delay: once for each recipient, whatever becomes of the others.</param>
public sealed record QueuedRecipient(
    int Index,
    ForwardPath ForwardPath,
    DsnNotify Notify,
    string? OriginalRecipient,
    RecipientState State,
    int Attempts,
    DateTimeOffset NextAttempt,
    string? LastReply,
    bool DelayNoticed = false)
{
    /// <summary>Those of <see cref="Attempts"/> that were refused for our address: the retry schedule does not count them.</summary>
    public int Uncounted { get; init; }

    /// <summary>What it was put off for (<see cref="WaitKey"/>), when the row was read; null: for nothing.</summary>
    public string? WaitsFor { get; init; }
}

/// <summary>One committed message in memory, for delivery.</summary>
/// <remarks>Holds a reference to its body until <see cref="Release"/>.</remarks>
public sealed record QueuedMessage
{
    public required QueueId Id { get; init; }

    /// <summary>Row id in the store.</summary>
    public required long RowId { get; init; }

    public required string Subscription { get; init; }

    /// <summary>Mailbox, else domain that it was counted at; null: neither, or a DSN of our own.</summary>
    public string? CountedAt { get; init; }

    /// <summary>For what its recipients' failures count as; null: mail of our own making.</summary>
    public MessageClass? Class { get; init; }

    /// <summary>Uid of the process that handed it in on the unix socket.</summary>
    public int? Uid { get; init; }

    /// <summary>Name of the credential it came in with.</summary>
    public string? Credential { get; init; }

    /// <summary>The script that made it.</summary>
    public string? Script { get; init; }

    /// <summary>Any other PHP script of the uid may have made it (<see cref="SendingScript.IsInDoubt"/>).</summary>
    public bool IsScriptInDoubt { get; init; }

    /// <summary>Domains of its subscription that reverse-path and header From name beside the one it was counted at, with a blank between them; null: none.</summary>
    public string? NamedDomains { get; init; }

    public required DateTimeOffset ReceivedAt { get; init; }

    /// <summary>When it was last put back by hand after it had failed; null: never.</summary>
    public DateTimeOffset? RequeuedAt { get; init; }

    /// <summary>From when on its age counts: for giving up, and for telling its sender of the delay.</summary>
    public DateTimeOffset AgedFrom => RequeuedAt ?? ReceivedAt;

    /// <summary>The reverse-path it leaves with.</summary>
    public required ReversePath ReversePath { get; init; }

    /// <summary>Recipients not yet delivered or failed.</summary>
    public required ImmutableArray<QueuedRecipient> Recipients { get; init; }

    /// <summary>Number of recipients of its envelope, ended ones included.</summary>
    public int RecipientCount { get; init; }

    public DsnReturn Return { get; init; }

    public string? EnvelopeId { get; init; }

    /// <summary>Chosen at acceptance, or later where there was no address then, and kept over all attempts.</summary>
    public required EgressChoice Egress { get; init; }

    /// <summary>The header section has octets above 127 (RFC 6532), so the next hop must offer SMTPUTF8. Addresses are looked at by delivery itself.</summary>
    public bool HeaderNeedsUtf8 { get; init; }

    public bool BodyIs8Bit { get; init; }

    /// <summary>REQUIRETLS was asked for (RFC 8689 §4): it goes only over TLS to a verified host that offers REQUIRETLS too.</summary>
    public bool RequiresTls { get; init; }

    /// <summary>Its header says <c>TLS-Required: No</c> (RFC 8689 §5): TLS policies of the recipient's domain are not enforced. Never with <see cref="RequiresTls"/>.</summary>
    public bool IgnoresTlsPolicies { get; init; }

    /// <summary>A DSN or another mail of our own making: it never causes a DSN.</summary>
    public bool IsDsn { get; init; }

    public required ReadOnlyMemory<byte> HeaderSection { get; init; }

    public required MessageBody Body { get; init; }

    public long Octets => HeaderSection.Length + Body.Octets;

    internal MailSource Source => new(Subscription, CountedAt, Uid, Credential, Script, NamedDomains, IsScriptInDoubt);

    public void Release() => Body.Release();
}

/// <summary>A piece of work for delivery: one message to those of its due recipients that go by the same route.</summary>
/// <param name="recipients">At least one; a subset of the message's.</param>
public sealed class DeliveryJob(QueuedMessage message, ImmutableArray<QueuedRecipient> recipients)
{
    private const int Waiting = 0, Begun = 1, Withdrawn = 2; // The last two may be both: it does not begin again.

    private readonly StrongBox<int> _state = new(Waiting);

    private DeliveryJob(DeliveryJob whole, ImmutableArray<QueuedRecipient> recipients, QueuedMessage message)
        : this(message, recipients) => _state = whole._state;

    public QueuedMessage Message => message;

    public ImmutableArray<QueuedRecipient> Recipients => recipients;

    /// <summary>The same job for some of its recipients alone.</summary>
    public DeliveryJob For(ImmutableArray<QueuedRecipient> some) => new(this, some, message);

    /// <summary>The same job, leaving from an address that its message was given just now.</summary>
    internal DeliveryJob From(EgressChoice egress) => new(this, recipients, message with { Egress = egress });

    /// <summary>Asked before each of its transactions: from then on, until <see cref="End"/>, its attempt goes on whatever is ordered.</summary>
    /// <returns>False: the message was held, deleted or returned by hand while this waited; no next hop is told of it, and nothing is written.</returns>
    public bool TryBegin() => Interlocked.CompareExchange(ref _state.Value, Begun, Waiting) != Withdrawn;

    /// <summary>The attempt of one of its parts is over, and recorded: the next part begins only if the job was not withdrawn meanwhile.</summary>
    internal void End() => Interlocked.And(ref _state.Value, ~Begun);

    internal bool HasBegun => (Volatile.Read(ref _state.Value) & Begun) != 0;

    /// <summary>
    /// It does not begin any more: it is dropped when its turn comes, and what is due of it then is read again. On the writer's thread, the only one that
    /// withdraws what was handed out, this stays as it is until the write ends.
    /// </summary>
    internal bool IsWithdrawn => Volatile.Read(ref _state.Value) == Withdrawn;

    /// <summary>Keeps it from beginning; of an attempt that has begun, from beginning with another part.</summary>
    internal void Withdraw() => Interlocked.Or(ref _state.Value, Withdrawn);

    /// <summary>As <see cref="Withdraw"/>, if it has not begun.</summary>
    /// <returns>False: it has, and goes on.</returns>
    internal bool TryWithdraw() => Interlocked.CompareExchange(ref _state.Value, Withdrawn, Waiting) is Waiting or Withdrawn;

    /// <summary>Takes back <see cref="TryWithdraw"/>.</summary>
    internal void Restore() => Interlocked.CompareExchange(ref _state.Value, Waiting, Withdrawn);
}

/// <summary>What one attempt did to one recipient.</summary>
/// <param name="Reply">Reply of the next hop, cleaned of control characters and cut, or our own text for a local failure.</param>
/// <param name="NextAttempt">For <see cref="DeliveryResult.Deferred"/>.</param>
/// <param name="DsnPassedOn">The next hop that took it offers DSN: NOTIFY was passed on, so that no "relayed" DSN is due (RFC 3461 §5.2.2).</param>
public sealed record RecipientResult(
    QueuedRecipient Recipient, DeliveryResult Result, string Reply, string? EnhancedStatus, DateTimeOffset? NextAttempt, bool DsnPassedOn = false)
{
    /// <summary>What the refusal is about.</summary>
    public ReplyClass Class { get; init; }

    /// <summary>All that was found in it; null where no reply refused.</summary>
    public ReplyFinding? Finding { get; init; }

    /// <summary>The host with which it came to this; null: the one that was tried last.</summary>
    public AttemptHost? Host { get; init; }

    /// <summary>For <see cref="DeliveryResult.Deferred"/>: when it is given up unless it is delivered before, as things are now.</summary>
    public DateTimeOffset? GivenUpAt { get; init; }

    /// <summary>Nothing was tried, for this cause.</summary>
    public WaitCause Wait { get; init; }

    /// <summary>For <see cref="DeliveryResult.Deferred"/>: the refusal was about our address, so that it waits for that and the retry schedule does not count the attempt.</summary>
    public WaitKey? WaitsFor { get; init; }
}

public enum DeliveryResult
{
    Delivered,
    Deferred,
    Failed,
}

/// <summary>One delivery attempt as it is recorded.</summary>
/// <param name="Stage">connect, greeting, ehlo, starttls, auth, mail, rcpt, data, end-of-data, local.</param>
/// <param name="NextHop">Host name or address literal of the next hop; "" when none was reached.</param>
/// <param name="Remote">Remote <c>ip:port</c>, or "".</param>
/// <param name="Local">Local address after connect, or "".</param>
/// <param name="Tls">Version and cipher, or null.</param>
public sealed record DeliveryAttempt(
    DateTimeOffset StartedAt,
    TimeSpan Duration,
    string Stage,
    string NextHop,
    string Remote,
    string Local,
    string? Tls,
    ImmutableArray<RecipientResult> Results)
{
    /// <summary>The TLS policy that was in force and what came of it, for instance <c>dane ok</c> (<c>TlsOutcome</c>); null: no session got that far.</summary>
    public string? TlsPolicy { get; init; }

    /// <summary>Who runs the next hop that was tried last, or that refused the local address (<c>NextHopAddress.Provider</c>), or "".</summary>
    public string Provider { get; init; } = "";

    /// <summary>Of what was no attempt: what it was put off for. Null: it was one.</summary>
    public WaitKey? WaitsFor { get; init; }

    /// <summary>How hosts ended that were tried before the last one, in order.</summary>
    public ImmutableArray<HostRefusal> HostRefusals { get; init; } = [];

    /// <summary>The host with which it came to this result: what is told of the result, to anybody, names this one.</summary>
    internal AttemptHost HostOf(RecipientResult result) => result.Host ?? new AttemptHost(NextHop, Remote, Local, Provider, Tls);
}
