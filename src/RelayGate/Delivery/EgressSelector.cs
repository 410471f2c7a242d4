using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>Turns a message's egress choice into the local address for one family, or refuses the family.</summary>
internal sealed class EgressSelector(RelayGateOptions options)
{
    private readonly EgressBinding _serverIPv4 = ServerBinding(options.Egress.IPv4, options.Hostname);
    private readonly EgressBinding _serverIPv6 = ServerBinding(options.Egress.IPv6, options.Hostname);

    /// <summary>Null: this message must not be sent over this family.</summary>
    public EgressBinding? For(EgressChoice choice, AddressFamily family)
    {
        if (choice.For(family) is { } own)
            return new EgressBinding(own.Address, own.Helo);
        if (choice.IsSystemDefault)
            return new EgressBinding(null, choice.Helo is "" or "localhost" ? options.Hostname : choice.Helo);
        if (options.Egress.MissingFamily == MissingFamilyMode.Defer || choice.MustWait)
            return null;
        return family == AddressFamily.InterNetwork ? _serverIPv4 : _serverIPv6;
    }

    private static EgressBinding ServerBinding(string? address, string hostname) =>
        new(IPAddress.TryParse(address, out IPAddress? parsed) ? parsed : null, hostname);
}
