using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>Binds a connection to the local address that was decided, and proves it. Fails closed.</summary>
internal static class EgressSocket
{
    private const int IpProtoIp = 0;
    private const int IpBindAddressNoPort = 24; // linux/in.h

    /// <summary>Binds before connect, never with IP_FREEBIND, which would hide an address that is not here.</summary>
    public static SessionFailure? Bind(Socket socket, EgressBinding egress)
    {
        if (egress.Address is not { } address)
            return null;
        try
        {
            // The port is chosen at connect, when the peer is known, so that 28,000 ports last for each peer and not for all together.
            if (OperatingSystem.IsLinux())
                socket.SetRawSocketOption(IpProtoIp, IpBindAddressNoPort, BitConverter.GetBytes(1));
            socket.Bind(new IPEndPoint(address, 0));
            return null;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressNotAvailable or SocketError.AccessDenied or SocketError.InvalidArgument
            or SocketError.AddressFamilyNotSupported)
        {
            return NotOnThisHost(address);
        }
    }

    /// <summary>Compares the real local address with the decision.</summary>
    public static SessionFailure? CheckLocalAddress(Socket socket, EgressBinding egress, out IPAddress local)
    {
        local = ((IPEndPoint)socket.LocalEndPoint!).Address;
        if (egress.Address is not { } address || address.Equals(local))
            return null;
        return Failure(EgressFault.Elsewhere, $"The connection left from {local}, not from egress address {address}");
    }

    /// <summary>The address is exclusive to another subscription, whose name is nobody's business here.</summary>
    public static SessionFailure BelongsToOther(IPAddress address) => Failure(EgressFault.Denied, $"The egress address {address} is exclusive to another subscription");

    public static SessionFailure NotOnThisHost(IPAddress address) => Failure(EgressFault.NotHere, $"The egress address {address} is not on this host");

    private static SessionFailure Failure(EgressFault fault, string text) =>
        new(DeliveryStage.Connect, RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.5", text), fault);
}
