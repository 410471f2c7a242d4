using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using RelayGate.Core.Mail;

namespace RelayGate.Configuration;

/// <summary>Whom a probe of an egress address asks which address it sees.</summary>
/// <param name="IsStun">A STUN server over UDP (RFC 8489), which tells; else an SMTP server, of which many name the client in their reply to EHLO.</param>
/// <param name="Host">A domain name, or an address without brackets.</param>
public sealed record ProbeTarget(bool IsStun, string Host, int Port)
{
    public const string Remedy = "\"smtp://host:port\" or \"stun://host:port\" is expected";

    private const string Smtp = "smtp://";
    private const string Stun = "stun://";

    /// <summary>Reads <c>smtp://host[:25]</c> or <c>stun://host[:3478]</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ProbeTarget? target)
    {
        target = null;
        bool isStun = text.StartsWith(Stun, StringComparison.OrdinalIgnoreCase);
        if (!isStun && !text.StartsWith(Smtp, StringComparison.OrdinalIgnoreCase))
            return false;
        string rest = text[Smtp.Length..];
        int port = isStun ? 3478 : 25;
        int colon = rest.EndsWith(']') ? -1 : rest.LastIndexOf(':');
        if (colon >= 0)
        {
            if (!ushort.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort given) || given == 0)
                return false;
            (port, rest) = (given, rest[..colon]);
        }
        bool isBracketed = rest.StartsWith('[') && rest.EndsWith(']');
        string host = isBracketed ? rest[1..^1] : rest;
        bool isAddress = ListenerEndpoint.TryParseAddress(host, out System.Net.IPAddress? address);
        if (isAddress ? isBracketed != host.Contains(':') : isBracketed || !Domain.TryParse(host, out _) || char.IsAsciiDigit(host[^1]))
            return false;
        target = new ProbeTarget(isStun, isAddress ? address!.ToString() : Domain.Parse(host).Value, port);
        return true;
    }

    public override string ToString() => $"{(IsStun ? Stun : Smtp)}{(Host.Contains(':') ? $"[{Host}]" : Host)}:{Port}";
}
