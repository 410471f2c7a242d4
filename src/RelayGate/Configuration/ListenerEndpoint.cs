using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Configuration;

/// <summary>Where a listener listens: <c>ip:port</c>, <c>[ipv6]:port</c> or <c>unix:/path</c>.</summary>
public static class ListenerEndpoint
{
    public const string UnixPrefix = "unix:";

    /// <summary>Room for a path in <c>sockaddr_un</c>, without the final NUL (unix(7)).</summary>
    public const int MaxSocketPathOctets = 107;

    /// <summary>Reads an endpoint; a socket path must be absolute.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out EndPoint? endPoint)
    {
        endPoint = null;
        if (text.StartsWith(UnixPrefix, StringComparison.OrdinalIgnoreCase))
        {
            string path = text[UnixPrefix.Length..];
            if (!path.StartsWith('/') || !IsSocketPath(path))
                return false;
            endPoint = new UnixDomainSocketEndPoint(path);
            return true;
        }
        if (!TryParseTcp(text, out IPEndPoint? tcp))
            return false;
        endPoint = tcp;
        return true;
    }

    /// <summary>Reads <c>ip:port</c> strictly: a dotted quad or a bracketed IPv6 address, and the port (0: any that is free).</summary>
    public static bool TryParseTcp(string text, [NotNullWhen(true)] out IPEndPoint? endPoint)
    {
        endPoint = null;
        int colon = text.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
            return false;
        string host = text[..colon];
        bool bracketed = host.StartsWith('[') && host.EndsWith(']');
        if (!TryParseAddress(bracketed ? host[1..^1] : host, out IPAddress? address) || bracketed != (address.AddressFamily == AddressFamily.InterNetworkV6))
            return false;
        endPoint = new IPEndPoint(address, port);
        return true;
    }

    /// <summary>Reads an address in its usual spelling; "127.1" and hexadecimal forms are refused.</summary>
    public static bool TryParseAddress(string text, [NotNullWhen(true)] out IPAddress? address) =>
        IPAddress.TryParse(text, out address) && !text.StartsWith('[')
        && (address.AddressFamily == AddressFamily.InterNetworkV6 || (text.Count(c => c == '.') == 3 && text.All(c => char.IsAsciiDigit(c) || c == '.')));

    public static bool IsSocketPath(string path) => path.Length > 0 && !path.Contains('\0') && Encoding.UTF8.GetByteCount(path) <= MaxSocketPathOctets;

    /// <summary>Whether two endpoints cannot both be bound. The unspecified address takes its port on all addresses ([::] on those of IPv4 too).</summary>
    public static bool Overlap(EndPoint one, EndPoint other) => (one, other) switch
    {
        (UnixDomainSocketEndPoint a, UnixDomainSocketEndPoint b) => a.ToString() == b.ToString(),
        (IPEndPoint a, IPEndPoint b) => a.Port == b.Port && a.Port != 0 && (a.Address.Equals(b.Address) || Covers(a.Address, b.Address) || Covers(b.Address, a.Address)),
        _ => false,
    };

    private static bool Covers(IPAddress wide, IPAddress narrow) =>
        wide.Equals(IPAddress.IPv6Any) || (wide.Equals(IPAddress.Any) && narrow.AddressFamily == AddressFamily.InterNetwork);
}
