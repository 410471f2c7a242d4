using System.Net;
using System.Net.Sockets;

namespace RelayGate.Core.Policy;

/// <summary>What stands for the local address where the server has none configured and the system chooses one for each connection: 0.0.0.0 and ::.</summary>
public static class SystemChoice
{
    /// <summary>In words.</summary>
    public const string Words = "the system's choice";

    public static IPAddress Of(AddressFamily family) => family == AddressFamily.InterNetworkV6 ? IPAddress.IPv6Any : IPAddress.Any;

    public static bool Is(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    /// <summary>A local address for people: <c>0.0.0.0 (the system's choice)</c>, or as it is.</summary>
    public static string NameOf(IPAddress address) => Is(address) ? $"{address} ({Words})" : address.ToString();

    /// <summary>As <see cref="NameOf(IPAddress)"/>, of an address as text; anything else as it is.</summary>
    public static string NameOf(string address) => IPAddress.TryParse(address, out IPAddress? known) && Is(known) ? NameOf(known) : address;
}
