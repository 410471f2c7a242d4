using System.Collections.Immutable;
using RelayGate.Core.Tls;

namespace RelayGate.Core.Policy;

/// <summary>Whose mail a route is for: all of it, that of a subscription, to a recipient domain, or both.</summary>
/// <param name="Subscription">"": of everybody.</param>
/// <param name="Domain">Recipient domain as A-labels in lower case; "": to everywhere.</param>
public readonly record struct RouteKey(string Subscription, string Domain)
{
    /// <summary>The server's own: what no other route is for.</summary>
    public static RouteKey Server { get; } = new("", "");

    /// <summary>For people, and as <c>route</c> takes it: server, subscription acme, subscription acme to example.com, to example.com.</summary>
    public override string ToString() => (Subscription, Domain) switch
    {
        ("", "") => "server",
        ("", _) => $"to {Domain}",
        (_, "") => $"subscription {Subscription}",
        _ => $"subscription {Subscription} to {Domain}",
    };
}

/// <summary>The login at a smarthost.</summary>
public sealed record SmarthostLogin(string User, string Password)
{
    /// <summary>Without the password.</summary>
    public override string ToString() => User;
}

/// <summary>Where mail goes next.</summary>
/// <param name="Smarthosts">By priority, each with its equals; empty: the MX hosts of the recipient's domain.</param>
public sealed record Route(RouteKey Key, ImmutableArray<ImmutableArray<SmarthostAddress>> Smarthosts)
{
    /// <summary>Null: no login.</summary>
    public SmarthostLogin? Login { get; init; }

    /// <summary>
    /// What protection the hosts must offer at least; null: as is configured for the server or the provider (Delivery:Tls:Policy), and with a login at a smarthost that is not
    /// on loopback no less than <see cref="TlsMode.Verify"/>.
    /// </summary>
    public TlsMode? Tls { get; init; }

    public bool IsMx => Smarthosts.IsEmpty;

    /// <summary>The next hop as it is written.</summary>
    public string NextHop { get; } = NextHopText.Format(Smarthosts);

    /// <summary>What recipients with the same route have in common where it leads to smarthosts; says nothing secret.</summary>
    public string Lane => Login is null ? NextHop : $"{NextHop} as {Login.User}";
}
