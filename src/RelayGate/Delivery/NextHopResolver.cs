using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Mail;

namespace RelayGate.Delivery;

/// <summary>Finds the next hop of a recipient: the configured smarthost, or the MX hosts of its domain (RFC 5321 §5.1).</summary>
public sealed class NextHopResolver
{
    private readonly NextHopPlan? _smarthost;

    /// <exception cref="FormatException">The smarthost is not written as smtp://host:port.</exception>
    public NextHopResolver(DeliveryOptions options)
    {
        if (options.NextHop == "mx")
            return;
        if (!TryParseSmarthost(options.NextHop, out string host, out int port))
            throw new FormatException($"'{options.NextHop}' is neither mx nor smtp://host:port");
        if (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? address))
            _smarthost = NextHopPlan.To([new NextHopAddress($"[{address}]", new IPEndPoint(address, port), IsSmarthost: true)]);
    }

    public ValueTask<NextHopPlan> ResolveAsync(ForwardPath recipient, CancellationToken cancellationToken)
    {
        if (_smarthost is not null)
            return new(_smarthost);
        return new(NextHopPlan.Defer("4.4.3", "MX delivery is not there yet"));
    }

    private static bool TryParseSmarthost(string text, out string host, out int port)
    {
        host = "";
        port = 0;
        const string Scheme = "smtp://";
        if (!text.StartsWith(Scheme, StringComparison.Ordinal))
            return false;
        int colon = text.LastIndexOf(':');
        if (colon <= Scheme.Length || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > 65535)
            return false;
        host = text[Scheme.Length..colon];
        return host.Length > 0;
    }
}
