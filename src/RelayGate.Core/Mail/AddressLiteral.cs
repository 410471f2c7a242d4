using System.Buffers;
using System.Net;
using System.Net.Sockets;

namespace RelayGate.Core.Mail;

/// <summary>Address literals such as <c>[192.0.2.1]</c> and <c>[IPv6:2001:db8::1]</c> (RFC 5321 §4.1.3).</summary>
public static class AddressLiteral
{
    private const string IPv6Tag = "IPv6:";

    private static readonly SearchValues<char> IPv6Text = SearchValues.Create("0123456789abcdefABCDEF:."); // No zone, no brackets, no port.

    public static bool IsValid(string text) => TryParse(text, out _);

    /// <summary>Reads a literal with its brackets. General address literals are not accepted: nothing could be done with them.</summary>
    public static bool TryParse(string text, out IPAddress? address)
    {
        address = null;
        if (text.Length < 3 || text[0] != '[' || text[^1] != ']')
            return false;
        ReadOnlySpan<char> inner = text.AsSpan(1, text.Length - 2);
        if (inner.StartsWith(IPv6Tag, StringComparison.OrdinalIgnoreCase))
        {
            inner = inner[IPv6Tag.Length..];
            return !inner.ContainsAnyExcept(IPv6Text) && IPAddress.TryParse(inner, out address) && address.AddressFamily == AddressFamily.InterNetworkV6;
        }
        // "127.1", hexadecimal and octal forms are not the dotted quad they may look like: only the usual spelling is one.
        return IPAddress.TryParse(inner, out address) && address.AddressFamily == AddressFamily.InterNetwork
            && inner.SequenceEqual(address.ToString());
    }
}
