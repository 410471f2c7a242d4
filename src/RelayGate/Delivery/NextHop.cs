using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;

namespace RelayGate.Delivery;

/// <summary>One address of a next hop.</summary>
/// <param name="Host">Name of the host, or an address literal with its brackets.</param>
/// <param name="IsSmarthost">Configured rather than found by MX: may be on loopback, and more connections at once are allowed.</param>
public sealed record NextHopAddress(string Host, IPEndPoint EndPoint, bool IsSmarthost)
{
    /// <summary>Address and port as text, made once.</summary>
    public string Remote { get; } = EndPoint.ToString();

    /// <summary>What a connection is checked against. Part of what connections are shared by.</summary>
    public TlsPolicy Tls { get; init; } = TlsPolicy.May;

    /// <summary>The address was found in DNS with every answer on the way authentic (RFC 7672 §2.2). A lookup of the other family that failed is no answer.</summary>
    public bool IsSecure { get; init; }

    /// <summary>The name at the end of the host's aliases; null: it is no alias.</summary>
    public string? AliasedTo { get; init; }

    /// <summary>Who logs in there; null: nobody. Part of what connections are shared by.</summary>
    public SmarthostLogin? Login { get; init; }

    /// <summary>TLS begins with the first octet (RFC 8314 §3.3).</summary>
    public bool IsImplicitTls { get; init; }

    /// <summary>Who runs it: a name of the reply rules, else the parent domain of the host; of a smarthost its own name.</summary>
    public string Provider { get => field.Length > 0 ? field : Host; init; } = "";

    /// <summary>The same with other demands on TLS.</summary>
    public NextHopAddress Under(TlsPolicy tls) => Tls.Equals(tls) ? this : this with { Tls = tls };

    public override string ToString() => $"{Host} ({Remote})";
}

/// <summary>Where a message goes next: the addresses in the order to try them, or the reason why there is none.</summary>
/// <param name="Failure">Null when there are addresses.</param>
public sealed record NextHopPlan(ImmutableArray<NextHopAddress> Addresses, RecipientOutcome? Failure)
{
    /// <summary>The MX hosts or smarthosts in the order of their preference: destinations of the same site share connections and transactions. "" without addresses.</summary>
    public string Site { get; init; } = "";

    /// <summary>How many addresses, from the first on, are of hosts of the same preference, so that their order is free. 0: the order stands.</summary>
    public int EqualAddresses { get; init; }

    /// <summary>The recipients' domain, where MX was asked for; null: a smarthost or an address literal.</summary>
    public string? Domain { get; init; }

    /// <summary>The answer about MX, positive or not, was authentic: nobody has put the hosts there on the way.</summary>
    public bool IsSecure { get; init; }

    /// <summary>What a route asks of TLS; null: nothing of its own.</summary>
    public TlsMode? Tls { get; init; }

    /// <summary>Whether mail may go by the other plan as well: the same addresses in whatever order, found as safely.</summary>
    public bool IsSameWay(NextHopPlan other) =>
        Failure is null && other.Failure is null && Site == other.Site && IsSecure == other.IsSecure && Tls == other.Tls
        && Addresses.Length == other.Addresses.Length && Addresses.All(other.Addresses.Contains);

    public static NextHopPlan To(ImmutableArray<NextHopAddress> addresses) => new(addresses, null);

    public static NextHopPlan Fail(string status, string text) => new([], RecipientOutcome.Local(OutcomeKind.Failed, status, text));

    public static NextHopPlan Defer(string status, string text) => new([], RecipientOutcome.Local(OutcomeKind.Deferred, status, text));
}

/// <summary>The local address one connection is bound to, and the name it greets with.</summary>
/// <param name="Address">Null: the system chooses, because neither subscription nor server has an address of this family configured.</param>
public sealed record EgressBinding(IPAddress? Address, string Helo)
{
    /// <summary>What a message's choice gives for one family; null: it must not be sent over this family.</summary>
    public static EgressBinding? For(EgressChoice choice, AddressFamily family)
    {
        if (choice.For(family) is { } address)
            return new EgressBinding(address.Address, address.Helo);
        return choice.IsSystemDefault ? new EgressBinding(null, choice.Helo) : null;
    }
}

/// <summary>What connections may be shared by: same local address and name, same remote address, same demands on TLS, same login.</summary>
internal readonly record struct SessionKey(EgressBinding Egress, IPEndPoint Remote, TlsPolicy Tls, SmarthostLogin? Login, bool IsImplicitTls)
{
    /// <summary>A provider with bounds of its own, else "".</summary>
    public string Provider { get; init; } = "";
}
