using System.Net;
using System.Net.Sockets;
using System.Text;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Messages;

/// <summary>What goes into the Received field that is put on top (RFC 5321 §4.4).</summary>
/// <param name="HeloName">As the client gave it; cleaned when written.</param>
/// <param name="Client">Null on a unix socket.</param>
/// <param name="Uid">Peer's uid on a unix socket.</param>
/// <param name="By">Our Hostname.</param>
/// <param name="Protocol">ESMTP, ESMTPSA… (RFC 3848).</param>
/// <param name="Tls">Version and cipher for a comment, or null.</param>
/// <param name="For">The recipient when there is exactly one, else null: others must not be named (RFC 5321 §7.6).</param>
public sealed record TraceField(
    string HeloName, IPAddress? Client, int? Uid, string By, string Protocol, string? Tls, QueueId Id, ForwardPath? For, DateTimeOffset At)
{
    private const int MaxCommentCharacters = 100;

    /// <summary>The field with folds and CRLF; ASCII, whatever the client called itself.</summary>
    public string Format()
    {
        var field = new StringBuilder(256).Append("Received: ");
        if (Client is { } client)
            field.Append("from ").Append(FromDomain(client)).Append("\r\n\t");
        field.Append("by ").Append(By).Append(Client is null && Uid is { } uid ? $" (RelayGate, from uid {uid})" : " (RelayGate)");
        if (Protocol.Length > 0)
            field.Append(" with ").Append(Protocol);
        if (Tls is not null)
            field.Append(" (").Append(CommentText(Tls)).Append(')');
        field.Append("\r\n\tid ").Append(Id);
        if (For is { Address: { IsAscii: true, IsUnqualified: false } } recipient)
            field.Append("\r\n\tfor <").Append(recipient.Text).Append('>');
        return field.Append("; ").Append(MailDate.Format(At)).Append("\r\n").ToString();
    }

    /// <summary>The name with the address beside it; a name that is none goes into the comment, cleaned.</summary>
    private string FromDomain(IPAddress client)
    {
        IPAddress address = client.IsIPv4MappedToIPv6 ? client.MapToIPv4() : client;
        string literal = address.AddressFamily == AddressFamily.InterNetworkV6
            ? $"[IPv6:{new IPAddress(address.GetAddressBytes())}]" // Without a scope: it means nothing to others.
            : $"[{address}]";
        if (Domain.TryParse(HeloName, out Domain? name))
            return $"{name} ({literal})";
        if (AddressLiteral.IsValid(HeloName))
            return $"{HeloName} ({literal})";
        string helo = CommentText(HeloName);
        return helo.Length == 0 ? $"{literal} ({literal})" : $"{literal} (helo={helo})";
    }

    private static string CommentText(string text)
    {
        int length = Math.Min(text.Length, MaxCommentCharacters);
        return string.Create(length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
                span[i] = char.IsAsciiLetterOrDigit(source[i]) || " .-_:[]/+,@".Contains(source[i]) ? source[i] : '?';
        }).Trim();
    }
}
