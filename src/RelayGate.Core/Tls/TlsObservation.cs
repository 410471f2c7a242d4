using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Core.Tls;

/// <summary>What kind of policy a recipient's domain has published (RFC 8460 §4.2).</summary>
public enum TlsPolicyType
{
    /// <summary>no-policy-found</summary>
    NotFound,

    /// <summary>tlsa</summary>
    Tlsa,

    /// <summary>sts</summary>
    Sts,
}

/// <summary>The policy of a recipient's domain as a TLS report names it (RFC 8460 §4.2).</summary>
/// <param name="Domain">The policy domain: that of the recipient; for TLSA the base domain of the MX host's records.</param>
/// <param name="Strings">The TLSA records, or the lines of the STS policy.</param>
/// <param name="MxHosts">The mx patterns of the STS policy; empty otherwise.</param>
public sealed record PublishedTlsPolicy(TlsPolicyType Type, string Domain, ImmutableArray<string> Strings, ImmutableArray<string> MxHosts)
{
    /// <summary>no-policy-found, tlsa or sts.</summary>
    public string TypeWord => Type switch { TlsPolicyType.Tlsa => "tlsa", TlsPolicyType.Sts => "sts", _ => "no-policy-found" };

    public static PublishedTlsPolicy NotFound(string domain) => new(TlsPolicyType.NotFound, domain, [], []);
}

/// <summary>One session, or one failure before a session, for TLS reports (RFC 8460 §4).</summary>
/// <param name="RecipientDomain">The domain whose mail was to be delivered: its _smtp._tls record says where reports go.</param>
/// <param name="Result">Ok counts as a successful session.</param>
/// <param name="Reason">One line, for failure-reason-code (RFC 8460 §4.4); null: none.</param>
/// <param name="MxHost">Null where the failure concerns no host, for instance a policy that could not be fetched.</param>
/// <param name="Local">sending-mta-ip; null: not connected.</param>
/// <param name="Remote">receiving-ip; null: not connected.</param>
public sealed record TlsObservation(
    DateTimeOffset At, string RecipientDomain, PublishedTlsPolicy Policy, TlsResult Result, string? Reason, string? MxHost, IPAddress? Local, IPAddress? Remote);

/// <summary>Takes observations for TLS reports. Called by deliveries: it returns at once and never throws.</summary>
public delegate void TlsObserver(TlsObservation observation);
