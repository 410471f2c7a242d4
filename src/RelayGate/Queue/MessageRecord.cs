using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Everything that is known of one thing offered: who, what was decided and why, in order, and what became of it.</summary>
public sealed record MessageRecord
{
    public required string Ref { get; init; }

    public required RecordKind Kind { get; init; }

    /// <summary>For a DSN: the message it reports on.</summary>
    public string? Original { get; init; }

    /// <summary>Time of MAIL.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>When the record was last changed; for merged refusals the time of the last one.</summary>
    public required DateTimeOffset LastAt { get; init; }

    /// <summary>For instance <c>login info@shop.test</c>, <c>uid www-acme</c>, <c>network 10.0.0.0/8</c>, <c>none 192.0.2.7</c>.</summary>
    public required string Identity { get; init; }

    /// <summary>The credential (application password) that logged in; null for a mailbox's own login and for who did not log in.</summary>
    public string? Credential { get; init; }

    /// <summary>The process at the other end of the unix socket; null for other connections.</summary>
    public PeerProcess? Process { get; init; }

    public int? Uid => Process?.Uid;

    public int? Pid => Process?.Pid;

    /// <summary>The client's address; null on a unix socket.</summary>
    public string? Client { get; init; }

    public string? Listener { get; init; }

    public string? Protocol { get; init; }

    /// <summary>As the client gave it.</summary>
    public string? Helo { get; init; }

    /// <summary>Version and cipher; null without TLS.</summary>
    public string? Tls { get; init; }

    public string? Subscription { get; init; }

    public string? Plan { get; init; }

    /// <summary>The sender's domain chose the subscription, because many sites share the uid.</summary>
    public bool Claimed { get; init; }

    /// <summary>login, local, script, network, forward or automatic; null where the policy was not asked.</summary>
    public string? Class { get; init; }

    /// <summary>No limit held for it: a listed network or a class that is exempt, or <c>Limits:Enforce</c> is off.</summary>
    public bool Exempt { get; init; }

    /// <summary>MAIL, RCPT, DATA or end-of-data for a refusal.</summary>
    public string? Stage { get; init; }

    /// <summary>The reverse-path as the client gave it; "" for the null reverse-path.</summary>
    public required string Sender { get; init; }

    /// <summary>The reverse-path it leaves with; null for a refusal.</summary>
    public string? ReversePath { get; init; }

    public ImmutableArray<RecordedCorrection> Corrections { get; init; } = [];

    /// <summary>The first hundred.</summary>
    public ImmutableArray<string> Recipients { get; init; } = [];

    public int RecipientCount { get; init; }

    /// <summary>ENVID of MAIL.</summary>
    public string? EnvelopeId { get; init; }

    /// <summary>Address of the header From.</summary>
    public string? From { get; init; }

    public string? Subject { get; init; }

    public string? MessageId { get; init; }

    /// <summary>Value of X-PHP-Originating-Script.</summary>
    public string? PhpScript { get; init; }

    /// <summary>What made the message, of local mail.</summary>
    public RecordedScript? Script { get; init; }

    /// <summary>What the client said of itself (XCLAIM).</summary>
    public SenderClaims? Claims { get; init; }

    /// <summary>Size as received; 0 when it was refused before the data.</summary>
    public long Octets { get; init; }

    /// <summary>What was added, dropped or replaced: <c>+Received</c>, <c>-Bcc</c>, <c>~From</c>.</summary>
    public ImmutableArray<string> HeaderChanges { get; init; } = [];

    /// <summary>For instance <c>d=shop.test s=rg1</c>.</summary>
    public ImmutableArray<string> Signatures { get; init; } = [];

    /// <summary>Why it has no signature; null when it has, and for what was refused.</summary>
    public Unsigned? Unsigned { get; init; }

    public RecordedEgress? Egress { get; init; }

    public required Verdict Verdict { get; init; }

    public required string Reason { get; init; }

    /// <summary>Our reply, without its ref.</summary>
    public required string Reply { get; init; }

    /// <summary>Each limit that was looked at, server first; ends with the one that refused.</summary>
    public ImmutableArray<RecordedLevel> Levels { get; init; } = [];

    /// <summary>When the next message was possible after a limit refused.</summary>
    public DateTimeOffset? NextPossible { get; init; }

    /// <summary>How many refusals this record stands for.</summary>
    public long Repeats { get; init; } = 1;

    public required RecordOutcome Outcome { get; init; }

    /// <summary>Delivery attempts in the order they began: the last <see cref="MessageLog.MaxAttempts"/>.</summary>
    public ImmutableArray<RecordedAttempt> Attempts { get; init; } = [];

    /// <summary>Earlier attempts that are not shown.</summary>
    public int AttemptsOmitted { get; init; }

    /// <summary>What was done by hand, in the order it was done: the last <see cref="OrderRows.MaxKept"/>.</summary>
    public ImmutableArray<RecordedOrder> Orders { get; init; } = [];

    /// <summary>Why it is held now and how long; null unless it is.</summary>
    public QueueHold? Hold { get; init; }

    /// <summary>Where each recipient stands, in the order of the envelope.</summary>
    public ImmutableArray<RecordedRecipient> States { get; init; } = [];

    /// <summary>Those of <see cref="States"/> that wait for an attempt or for their release.</summary>
    public ImmutableArray<RecordedRecipient> Pending { get; init; } = [];
}

/// <param name="What">What was corrected: reverse-path.</param>
public sealed record RecordedCorrection(string What, string Original, string Replacement, string Why);

/// <summary>From where it leaves.</summary>
/// <param name="Why">domain-address, subscription-address, server-address or no-address.</param>
/// <param name="Ipv6OffBy">Who had IPv6 switched off then: <c>server</c> or <c>subscription</c>; null: nobody.</param>
/// <param name="System">True: for a family without an address the system chooses.</param>
public sealed record RecordedEgress(string Why, string? Ipv4, string? Ipv6, string Helo, string? Ipv6OffBy = null, bool? System = null);

/// <summary>Usage of one limit at one level, before the message and with it.</summary>
/// <param name="Level">server, plan, subscription, domain or mailbox.</param>
/// <param name="Class">Only mail of this class counts there; null: all of the object's.</param>
/// <param name="Limit">For instance 200/h; null without limit.</param>
/// <param name="Origin">Where the limit was set.</param>
/// <param name="Stopped">This one refused.</param>
public sealed record RecordedLevel(string Level, string Name, string? Class, string? Limit, string Origin, long Used, long After, bool Stopped);

/// <summary>One delivery attempt.</summary>
/// <param name="Seconds">How long it took.</param>
/// <param name="Stage">Where it ended: connect, greeting, ehlo, starttls, auth, mail, rcpt, data, end-of-data, local; put-off: it was none, but the first time that it was put off for <see cref="WaitsFor"/>, or its sender was to be told of the delay.</param>
/// <param name="Remote">Remote <c>ip:port</c>, or "".</param>
/// <param name="Local">Local address after connect, or "".</param>
/// <param name="Tls">Version and cipher, or null.</param>
public sealed record RecordedAttempt(
    DateTimeOffset At, double Seconds, string Stage, string NextHop, string Remote, string Local, string? Tls, ImmutableArray<RecordedResult> Results)
{
    /// <summary>The TLS policy in force and what came of it, for instance <c>dane ok</c> or <c>sts certificate-host-mismatch</c>; null: it did not get that far.</summary>
    public string? TlsPolicy { get; init; }

    /// <summary>Who runs the next hop, as paces and pauses of local addresses have it, or "".</summary>
    public string Provider { get; init; } = "";

    /// <summary>What it was put off for (<see cref="WaitKey"/>); null: it was an attempt.</summary>
    public string? WaitsFor { get; init; }

    /// <summary>How hosts ended that were tried before the last one, in order: <see cref="HostRefusal.MaxKept"/> at most.</summary>
    public ImmutableArray<RecordedRefusal> Refusals { get; init; } = [];

    /// <summary>The ref of the DSN that it caused; per-sender or backscatter: the bound that kept it from being sent; null: none was due.</summary>
    public string? Report { get; init; }
}

/// <summary>What made a local message.</summary>
/// <param name="Name">As in <see cref="ScriptKey.Script"/>.</param>
/// <param name="IsProved">False: it is the client's word alone.</param>
/// <param name="Path">Full path that the client claims, or null.</param>
/// <param name="Original">The header field where it says more than uid and file, or null.</param>
public sealed record RecordedScript(string Name, bool IsProved, string? Path, string? Original);

/// <summary>One order by hand.</summary>
/// <param name="What">held, released, retried or deleted.</param>
/// <param name="By">For instance <c>uid 0</c>.</param>
public sealed record RecordedOrder(DateTimeOffset At, string What, string By);

/// <summary>What one attempt did to one recipient.</summary>
/// <param name="Result">delivered, deferred or failed.</param>
/// <param name="Class">What a refusal is about; null for none. Then also the provider's code, the list, the page that helps and the rule that found them.</param>
public sealed record RecordedResult(
    int Position, string Recipient, string Result, string Reply, string? Status, DateTimeOffset? NextAttempt, string? Class, string? Code, string? List, string? Url, string? Rule)
{
    /// <summary>Who refused, where the reply gives another away than the next hop (behind a smarthost); null: the next hop's own.</summary>
    public string? Provider { get; init; }

    /// <summary>The host with which it came to this, where that is not the one that was tried last; its refusal is one of <see cref="RecordedAttempt.Refusals"/>.</summary>
    public string? NextHop { get; init; }

    /// <summary>Remote <c>ip:port</c> of <see cref="NextHop"/>.</summary>
    public string? Remote { get; init; }

    /// <summary>Local address of the connection to <see cref="NextHop"/>, or "".</summary>
    public string? Local { get; init; }
}

/// <summary>How one host ended before the attempt went on to another.</summary>
/// <param name="Provider">Who runs the host, or who is behind it by the reply's own word.</param>
/// <param name="Recipient">The first of those that it holds for.</param>
/// <param name="Result">What the attempt came to for that recipient: delivered (another host took it), deferred or failed.</param>
/// <param name="Class">What the refusal is about; null: no reply came.</param>
public sealed record RecordedRefusal(
    string Stage, string NextHop, string Remote, string Local, string Provider, string Recipient, int Recipients, string Result, string Reply, string? Status, string? Class,
    string? Code, string? List, string? Url, string? Rule)
{
    /// <summary>Who runs the host.</summary>
    public string HostProvider { get; init; } = "";
}

/// <summary>Where one recipient stands.</summary>
/// <param name="State">Null: it was refused, or deleted before it ended.</param>
/// <param name="Held">Why it does not go on, or null.</param>
public sealed record RecordedRecipient(
    int Position, string Recipient, RecipientState? State, int Attempts, DateTimeOffset? NextAttempt, string? LastReply, HoldReason? Held)
{
    /// <summary>What it was put off for (<see cref="WaitKey"/>), or null.</summary>
    public string? WaitsFor { get; init; }
}
