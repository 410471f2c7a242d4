using System.Net;
using System.Net.Sockets;

namespace RelayGate.Core.Policy;

/// <summary>A local address mail may leave from, and the name it greets with.</summary>
/// <param name="Helo">The EHLO name: a property of the address, so that forward and reverse DNS can agree with it.</param>
public sealed record EgressAddress(IPAddress Address, string Helo)
{
    public override string ToString() => $"{Address} ({Helo})";
}

/// <summary>From where one message leaves: an address for each family, chosen once and kept over all retries.</summary>
/// <remarks>Says all that delivery has to know: no setting is asked again once a message has its choice.</remarks>
/// <param name="IPv4">Null: a destination of this family is not dialled, unless <paramref name="IsSystemDefault"/>.</param>
/// <param name="IPv6">As <paramref name="IPv4"/>.</param>
/// <param name="Helo">EHLO name where the system chooses the address.</param>
/// <param name="Why">One of: domain-address, subscription-address, server-address, no-address, by-hand.</param>
/// <param name="IsSystemDefault">For a family without an address the kernel may choose: only where the server has none configured either.</param>
public sealed record EgressChoice(EgressAddress? IPv4, EgressAddress? IPv6, string Helo, string Why, bool IsSystemDefault = false)
{
    /// <summary>Who had switched IPv6 off when this was decided: <c>server</c> or <c>subscription</c>; null: nobody. For the record alone: the switches
    /// in force are asked at each attempt.</summary>
    public string? IPv6OffBy { get; init; }

    public static EgressChoice SystemDefault { get; } = new(null, null, "localhost", "server-address", IsSystemDefault: true);

    /// <summary>The address to bind for a destination of this family; null when the choice has none.</summary>
    public EgressAddress? For(AddressFamily family) => family == AddressFamily.InterNetwork ? IPv4 : IPv6;

    /// <summary>No address at all: the mail waits (<c>NoAddress: Defer</c>).</summary>
    public bool MustWait => !IsSystemDefault && IPv4 is null && IPv6 is null;
}
