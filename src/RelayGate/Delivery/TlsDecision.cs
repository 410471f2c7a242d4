using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>What a message itself has to say of TLS (RFC 8689); nothing by default.</summary>
/// <param name="IsRequired">REQUIRETLS. A report asks for it where it can, and is not given up for it (§5).</param>
/// <param name="IgnoresPolicies">TLS-Required: No.</param>
/// <param name="IsReport">A TLS report, of whose delivery nobody is told (RFC 8460 §5.3).</param>
internal readonly record struct TlsDemand(bool IsRequired, bool IgnoresPolicies, bool IsReport)
{
    public static TlsDemand Of(QueuedMessage message) =>
        new(message.RequiresTls && !message.IsDsn, message.IgnoresTlsPolicies, message is { IsDsn: true, IgnoresTlsPolicies: true });
}

/// <summary>What a session with one host is checked against, or why there may be none.</summary>
/// <param name="Published">What the recipient's domain has published of it, for TLS reports; null: a smarthost or an address literal.</param>
internal readonly record struct TlsDecision(TlsPolicy Policy, PublishedTlsPolicy? Published)
{
    /// <summary>Null: there may be a session.</summary>
    public RecipientOutcome? Refusal { get; init; }

    /// <summary>Something is wrong with what was published, whatever comes of the session; Ok: nothing.</summary>
    public TlsResult Flaw { get; init; }

    /// <summary>One line about the flaw.</summary>
    public string? Reason { get; init; }

    /// <summary>What is told of a session: what came of it, or the flaw where nothing else was wrong.</summary>
    public TlsOutcome Told(TlsOutcome outcome) => outcome.Result == TlsResult.Ok && Flaw != TlsResult.Ok ? outcome with { Result = Flaw, Reason = Reason } : outcome;
}
