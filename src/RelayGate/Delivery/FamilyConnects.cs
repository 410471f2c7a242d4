using System.Net.Sockets;
using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>By which families one attempt could connect, and by which it could not.</summary>
internal struct FamilyConnects
{
    private bool _failed4;
    private bool _failed6;
    private bool _connected4;
    private bool _connected6;

    public void Note(NextHopAddress address, bool hasConnected)
    {
        bool is4 = address.EndPoint.AddressFamily == AddressFamily.InterNetwork;
        _connected4 |= is4 && hasConnected;
        _failed4 |= is4 && !hasConnected;
        _connected6 |= !is4 && hasConnected;
        _failed6 |= !is4 && !hasConnected;
    }

    /// <summary>A family has failed where the other one got through; a site that nothing gets through to says nothing of either.</summary>
    public readonly void Tell(FamilyHealth health, EgressChoice egress, string site)
    {
        if (_connected4)
            health.Connected(egress.IPv4?.Address, site, AddressFamily.InterNetwork);
        else if (_failed4 && _connected6)
            health.Failed(egress.IPv4?.Address, site, AddressFamily.InterNetwork);
        if (_connected6)
            health.Connected(egress.IPv6?.Address, site, AddressFamily.InterNetworkV6);
        else if (_failed6 && _connected4)
            health.Failed(egress.IPv6?.Address, site, AddressFamily.InterNetworkV6);
    }
}
