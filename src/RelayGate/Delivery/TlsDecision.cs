using RelayGate.Core.Policy;
using RelayGate.Core.Tls;

namespace RelayGate.Delivery;

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
}
