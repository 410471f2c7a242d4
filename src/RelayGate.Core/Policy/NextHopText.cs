using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Policy;

/// <summary>One smarthost of a route.</summary>
/// <param name="Host">A domain name, or an address without brackets.</param>
/// <param name="Port">1 to 65,535.</param>
/// <param name="IsImplicitTls">TLS from the first octet (<c>smtps://</c>, RFC 8314 §3.3).</param>
public sealed record SmarthostAddress(string Host, int Port, bool IsImplicitTls)
{
    public override string ToString()
    {
        string host = Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host;
        return string.Create(CultureInfo.InvariantCulture, $"{(IsImplicitTls ? "smtps" : "smtp")}://{host}:{Port}");
    }
}

/// <summary>
/// How a next hop is written: <c>mx</c>, or smarthosts as <c>smtp://host:port</c> (port 25 if left out) and <c>smtps://host:port</c> (465). Those with
/// commas between them are equals and take turns; after a blank come those that are asked when none before them can be spoken to.
/// </summary>
public static class NextHopText
{
    /// <summary>What is expected, for people.</summary>
    public const string Remedy = "\"mx\" or \"smtp://host:port\" (smtps:// for TLS at once; several: with commas as equals, with blanks in the order to try them) is expected";

    /// <summary>Delivery by the MX records of the recipient's domain.</summary>
    public const string Mx = "mx";

    /// <summary>Smarthosts of one route at most.</summary>
    public const int MaxSmarthosts = 16;

    /// <summary>Reads a next hop.</summary>
    /// <param name="smarthosts">In the order of their priority, each with its equals; empty for <c>mx</c>.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out ImmutableArray<ImmutableArray<SmarthostAddress>>? smarthosts)
    {
        smarthosts = null;
        if (text.Trim().Equals(Mx, StringComparison.OrdinalIgnoreCase))
        {
            smarthosts = [];
            return true;
        }
        var groups = ImmutableArray.CreateBuilder<ImmutableArray<SmarthostAddress>>();
        int count = 0;
        foreach (string group in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = ImmutableArray.CreateBuilder<SmarthostAddress>();
            foreach (string one in group.Split(','))
            {
                if (TryParseOne(one) is not { } smarthost || ++count > MaxSmarthosts)
                    return false;
                equals.Add(smarthost);
            }
            groups.Add(equals.ToImmutable());
        }
        if (groups.Count == 0)
            return false;
        smarthosts = groups.ToImmutable();
        return true;
    }

    /// <summary>The usual spelling, always with ports.</summary>
    public static string Format(ImmutableArray<ImmutableArray<SmarthostAddress>> smarthosts) =>
        smarthosts.IsEmpty ? Mx : string.Join(' ', smarthosts.Select(static equals => string.Join(',', equals)));

    private static SmarthostAddress? TryParseOne(string text)
    {
        const string Plain = "smtp://";
        const string Implicit = "smtps://";
        bool isImplicit = text.StartsWith(Implicit, StringComparison.OrdinalIgnoreCase);
        if (!isImplicit && !text.StartsWith(Plain, StringComparison.OrdinalIgnoreCase))
            return null;
        string rest = text[(isImplicit ? Implicit : Plain).Length..];
        int port = isImplicit ? 465 : 25;
        int colon = rest.EndsWith(']') ? -1 : rest.LastIndexOf(':');
        if (colon >= 0)
        {
            if (!ushort.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort given) || given == 0)
                return null;
            port = given;
            rest = rest[..colon];
        }
        return HostOf(rest) is { } host ? new SmarthostAddress(host, port, isImplicit) : null;
    }

    private static string? HostOf(string text)
    {
        if (text.StartsWith('['))
        {
            return text.EndsWith(']') && AddressLiteral.TryParse($"[IPv6:{text[1..^1]}]", out IPAddress? v6) && v6!.AddressFamily == AddressFamily.InterNetworkV6
                ? v6.ToString()
                : null;
        }
        if (AddressLiteral.TryParse($"[{text}]", out IPAddress? v4))
            return v4!.ToString();
        return Domain.TryParse(text, out Domain? host) && !char.IsAsciiDigit(host.Value[^1]) ? host.Value : null; // "192.0.2.300" is no host name.
    }
}
