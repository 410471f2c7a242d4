using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Dsn;

/// <summary>The part of a report that programs read: message/delivery-status (RFC 3464 §2) in ASCII, or message/global-delivery-status (RFC 6533 §4) in UTF-8.</summary>
/// <param name="utf8">The report goes by SMTPUTF8.</param>
internal readonly struct DeliveryStatus(bool utf8)
{
    private const int FoldColumn = 76;
    private const int MaxWord = 300; // Characters; at most 900 octets of the 998 of a line.

    public byte[] Write(DsnRequest request)
    {
        var text = new StringBuilder();
        Field(text, "Reporting-MTA", $"dns; {request.ReportingMta}");
        if (request.EnvelopeId is { } envelopeId)
            Field(text, "Original-Envelope-Id", DecodeXtext(envelopeId));
        Field(text, "Arrival-Date", MailDate.Format(request.ArrivedAt));
        Field(text, "X-RelayGate-Ref", request.OriginalId.ToString());
        foreach (DsnRecipient recipient in request.Recipients)
        {
            text.Append("\r\n");
            WriteRecipient(text, recipient);
        }
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private void WriteRecipient(StringBuilder text, DsnRecipient recipient)
    {
        if (recipient.OriginalRecipient is { } original && OriginalRecipient(original) is { } type)
            Field(text, "Original-Recipient", type);
        Field(text, "Final-Recipient", FinalRecipient(recipient.ForwardPath.Address));
        Field(text, "Action", recipient.Action.ToString().ToLowerInvariant());
        Field(text, "Status", EnhancedStatusCode.TryParse(recipient.Status, out EnhancedStatusCode code, out _) ? code.ToString() : DefaultStatus(recipient.Action));
        if (recipient.RemoteMta is { Length: > 0 } remote)
            Field(text, "Remote-MTA", $"dns; {remote}");
        string diagnostic = DsnText.CleanDiagnostic(recipient.Diagnostic);
        if (diagnostic.Length > 0)
            Field(text, "Diagnostic-Code", $"{(recipient.RemoteMta is null ? "x-relaygate" : "smtp")}; {diagnostic}");
        Field(text, "Last-Attempt-Date", MailDate.Format(recipient.LastAttempt));
        if (recipient is { Action: DsnAction.Delayed, WillRetryUntil: { } until })
            Field(text, "Will-Retry-Until", MailDate.Format(until));
    }

    private static string DefaultStatus(DsnAction action) => action switch
    {
        DsnAction.Failed => "5.0.0",
        DsnAction.Delayed => "4.0.0",
        _ => "2.0.0",
    };

    private string FinalRecipient(MailboxAddress address)
    {
        string text = DsnComposer.AddressText(address);
        return Ascii.IsValid(text) ? $"rfc822; {text}" : $"utf-8; {(utf8 ? address.Text : EncodeUtf8Address(address.Text))}";
    }

    /// <summary>ORCPT is <c>type;xtext</c> (RFC 3461 §4.2); of the type utf-8 it has an encoding of its own, which is kept (RFC 6533 §3).</summary>
    private static string? OriginalRecipient(string orcpt)
    {
        int semicolon = orcpt.IndexOf(';', StringComparison.Ordinal);
        if (semicolon <= 0 || semicolon == orcpt.Length - 1)
            return null;
        string type = orcpt[..semicolon];
        string address = orcpt[(semicolon + 1)..];
        bool isUtf8 = type.Equals("utf-8", StringComparison.OrdinalIgnoreCase);
        address = !isUtf8 ? DecodeXtext(address) : Ascii.IsValid(address) ? address : EncodeUtf8Address(address);
        return $"{type}; {address}";
    }

    /// <summary>utf-8-addr-xtext (RFC 6533 §3): <c>\x{FC}</c> for what is not ASCII and for the characters that mean something there.</summary>
    private static string EncodeUtf8Address(string address)
    {
        var text = new StringBuilder(address.Length + 16);
        foreach (Rune rune in address.EnumerateRunes())
        {
            if (rune.Value is > 0x20 and < 0x7f and not ('+' or '=' or '\\'))
                text.Append((char)rune.Value);
            else
                text.Append("\\x{").Append(rune.Value.ToString("X2")).Append('}');
        }
        return text.ToString();
    }

    /// <summary>xtext: <c>+2B</c> stands for "+" (RFC 3461 §4).</summary>
    private static string DecodeXtext(string xtext)
    {
        var text = new StringBuilder(xtext.Length);
        for (int i = 0; i < xtext.Length; i++)
        {
            if (xtext[i] == '+' && i + 2 < xtext.Length && char.IsAsciiHexDigit(xtext[i + 1]) && char.IsAsciiHexDigit(xtext[i + 2]))
            {
                text.Append((char)Convert.ToByte(xtext.Substring(i + 1, 2), 16));
                i += 2;
            }
            else
            {
                text.Append(xtext[i]);
            }
        }
        return text.ToString();
    }

    /// <summary>Writes one field, folded at blanks; a word too long for a line is cut.</summary>
    private void Field(StringBuilder text, string name, string value)
    {
        string clean = HeaderText.Clean(value, 2000);
        text.Append(name).Append(':');
        int column = name.Length + 1;
        foreach (string word in clean.Split(' '))
        {
            if (column + 1 + word.Length > FoldColumn && column > 1)
            {
                text.Append("\r\n");
                column = 0;
            }
            text.Append(' ');
            foreach (char c in word.Length > MaxWord ? word[..MaxWord] : word)
                text.Append(c is > ' ' and < '\x7f' || (utf8 && c > '\x7f') ? c : '?');
            column += 1 + word.Length;
        }
        text.Append("\r\n");
    }
}
