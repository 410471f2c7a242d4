using System.Text;
using System.Text.Unicode;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Smtp;

/// <summary>The parameters of MAIL and RCPT (RFC 5321 §4.1.2 "esmtp-param"): each at most once, unknown ones refused with 555.</summary>
internal static class SmtpParameters
{
    private const int MaxEnvelopeIdOctets = 100; // RFC 3461 §4.4.
    private const int MaxOriginalRecipientOctets = 500; // RFC 3461 §4.2; of the form that is passed on (utf-8-addr-xtext).

    private static readonly SmtpSyntaxError Malformed = SmtpCommandParser.Error("501 5.5.4 Malformed parameter");
    private static readonly SmtpSyntaxError Twice = SmtpCommandParser.Error("501 5.5.4 Parameter given twice");
    private static readonly SmtpSyntaxError Unknown = SmtpCommandParser.Error("555 5.5.4 Parameter not recognised");
    private static readonly SmtpSyntaxError BadSize = SmtpCommandParser.Error("501 5.5.4 SIZE needs a number of octets");
    private static readonly SmtpSyntaxError BadBody = SmtpCommandParser.Error("501 5.5.4 BODY is 7BIT or 8BITMIME");
    private static readonly SmtpSyntaxError BadReturn = SmtpCommandParser.Error("501 5.5.4 RET is FULL or HDRS");
    private static readonly SmtpSyntaxError BadEnvelopeId = SmtpCommandParser.Error("501 5.5.4 ENVID needs 1 to 100 octets of xtext");
    private static readonly SmtpSyntaxError BadNotify = SmtpCommandParser.Error("501 5.5.4 NOTIFY is NEVER, or SUCCESS, FAILURE and DELAY");
    private static readonly SmtpSyntaxError BadOriginalRecipient = SmtpCommandParser.Error("501 5.5.4 ORCPT needs type;address in xtext");
    private static readonly SmtpSyntaxError LongOriginalRecipient = SmtpCommandParser.Error("501 5.5.4 ORCPT is longer than 500 octets in ASCII");
    private static readonly SmtpSyntaxError BadAuth = SmtpCommandParser.Error("501 5.5.4 AUTH needs <> or a mailbox in xtext");

    [Flags]
    private enum Seen
    {
        None = 0,
        Size = 1,
        Body = 2,
        SmtpUtf8 = 4,
        Return = 8,
        EnvelopeId = 16,
        Auth = 32,
        Notify = 64,
        OriginalRecipient = 128,
        RequireTls = 256,
    }

    public static SmtpSyntaxError? ReadMail(ReadOnlySpan<byte> rest, ref MailCommand mail)
    {
        var seen = Seen.None;
        while (!rest.IsEmpty)
        {
            if (!TryTake(ref rest, out ReadOnlySpan<byte> keyword, out ReadOnlySpan<byte> value, out bool hasValue) || !Ascii.IsValid(value))
                return Malformed;
            Seen parameter;
            if (SmtpCommandParser.Is(keyword, "SIZE"u8))
            {
                parameter = Seen.Size;
                if (!SmtpCommandParser.TryReadNumber(value, out long octets))
                    return BadSize;
                mail = mail with { Octets = octets };
            }
            else if (SmtpCommandParser.Is(keyword, "BODY"u8))
            {
                parameter = Seen.Body;
                if (!SmtpCommandParser.Is(value, "7BIT"u8) && !SmtpCommandParser.Is(value, "8BITMIME"u8))
                    return BadBody;
            }
            else if (SmtpCommandParser.Is(keyword, "SMTPUTF8"u8))
            {
                parameter = Seen.SmtpUtf8;
                if (hasValue)
                    return Malformed;
                mail = mail with { SmtpUtf8 = true };
            }
            else if (SmtpCommandParser.Is(keyword, "REQUIRETLS"u8))
            {
                parameter = Seen.RequireTls;
                if (hasValue)
                    return Malformed;
                mail = mail with { RequireTls = true };
            }
            else if (SmtpCommandParser.Is(keyword, "RET"u8))
            {
                parameter = Seen.Return;
                bool full = SmtpCommandParser.Is(value, "FULL"u8);
                if (!full && !SmtpCommandParser.Is(value, "HDRS"u8))
                    return BadReturn;
                mail = mail with { Return = full ? DsnReturn.Full : DsnReturn.Headers };
            }
            else if (SmtpCommandParser.Is(keyword, "ENVID"u8))
            {
                parameter = Seen.EnvelopeId;
                if (value.Length is 0 or > MaxEnvelopeIdOctets || !IsXtext(value))
                    return BadEnvelopeId;
                mail = mail with { EnvelopeId = Encoding.ASCII.GetString(value) };
            }
            else if (SmtpCommandParser.Is(keyword, "AUTH"u8))
            {
                parameter = Seen.Auth; // RFC 4954 §5: we vouch for our own identities only, so it is read and ignored.
                if (value.IsEmpty || (!value.SequenceEqual("<>"u8) && !IsXtext(value)))
                    return BadAuth;
            }
            else
                return Unknown;
            if (seen.HasFlag(parameter))
                return Twice;
            seen |= parameter;
        }
        return null;
    }

    public static SmtpSyntaxError? ReadRcpt(ReadOnlySpan<byte> rest, ref RcptCommand rcpt)
    {
        var seen = Seen.None;
        while (!rest.IsEmpty)
        {
            if (!TryTake(ref rest, out ReadOnlySpan<byte> keyword, out ReadOnlySpan<byte> value, out _))
                return Malformed;
            Seen parameter;
            if (SmtpCommandParser.Is(keyword, "NOTIFY"u8))
            {
                parameter = Seen.Notify;
                if (!TryReadNotify(value, out DsnNotify notify))
                    return BadNotify;
                rcpt = rcpt with { Notify = notify };
            }
            else if (SmtpCommandParser.Is(keyword, "ORCPT"u8))
            {
                parameter = Seen.OriginalRecipient;
                if (!IsOriginalRecipient(value))
                    return BadOriginalRecipient;
                string original = Encoding.UTF8.GetString(value);
                if (EnvelopeRecipient.ToAscii(original).Length > MaxOriginalRecipientOctets)
                    return LongOriginalRecipient;
                rcpt = rcpt with { OriginalRecipient = original };
            }
            else
                return Unknown;
            if (seen.HasFlag(parameter))
                return Twice;
            seen |= parameter;
        }
        return null;
    }

    /// <summary>Takes <c>keyword ["=" value]</c> and the blanks after it.</summary>
    private static bool TryTake(ref ReadOnlySpan<byte> rest, out ReadOnlySpan<byte> keyword, out ReadOnlySpan<byte> value, out bool hasValue)
    {
        int space = rest.IndexOf((byte)' ');
        ReadOnlySpan<byte> parameter = space < 0 ? rest : rest[..space];
        rest = space < 0 ? [] : rest[space..].TrimStart((byte)' ');
        int equals = parameter.IndexOf((byte)'=');
        hasValue = equals >= 0;
        keyword = hasValue ? parameter[..equals] : parameter;
        value = hasValue ? parameter[(equals + 1)..] : [];
        if (keyword.IsEmpty || keyword[0] == '-' || (hasValue && value.IsEmpty))
            return false;
        foreach (byte c in keyword)
        {
            if (!char.IsAsciiLetterOrDigit((char)c) && c != '-')
                return false;
        }
        return !value.Contains((byte)'=');
    }

    /// <summary>NEVER alone, or a list of the others (RFC 3461 §4.1).</summary>
    private static bool TryReadNotify(ReadOnlySpan<byte> value, out DsnNotify notify)
    {
        notify = DsnNotify.Default;
        if (SmtpCommandParser.Is(value, "NEVER"u8))
        {
            notify = DsnNotify.Never;
            return true;
        }
        foreach (Range range in value.Split((byte)','))
        {
            ReadOnlySpan<byte> word = value[range];
            if (SmtpCommandParser.Is(word, "SUCCESS"u8))
                notify |= DsnNotify.Success;
            else if (SmtpCommandParser.Is(word, "FAILURE"u8))
                notify |= DsnNotify.Failure;
            else if (SmtpCommandParser.Is(word, "DELAY"u8))
                notify |= DsnNotify.Delay;
            else
                return false;
        }
        return notify != DsnNotify.Default;
    }

    /// <summary><c>addr-type ";" xtext</c>; the type is an atom (RFC 3461 §4.2), and the type utf-8 may have UTF-8 as it is (RFC 6533 §3).</summary>
    private static bool IsOriginalRecipient(ReadOnlySpan<byte> value)
    {
        int semicolon = value.IndexOf((byte)';');
        if (value.Length > MaxOriginalRecipientOctets || semicolon <= 0 || semicolon == value.Length - 1)
            return false;
        foreach (byte c in value[..semicolon])
        {
            if (!char.IsAsciiLetterOrDigit((char)c) && c != '-')
                return false;
        }
        ReadOnlySpan<byte> address = value[(semicolon + 1)..];
        if (Ascii.IsValid(address) || !SmtpCommandParser.Is(value[..semicolon], "utf-8"u8) || !Utf8.IsValid(address))
            return IsXtext(address);
        Span<byte> ascii = stackalloc byte[address.Length];
        for (int i = 0; i < address.Length; i++)
            ascii[i] = address[i] < 0x80 ? address[i] : (byte)'x';
        foreach (Rune rune in Encoding.UTF8.GetString(address).EnumerateRunes())
        {
            if (Rune.IsControl(rune))
                return false;
        }
        return IsXtext(ascii);
    }

    /// <summary>
    /// Xtext (RFC 3461 §4) that stands for printable ASCII and blanks: an encoded control character would come out in a header or report.
    /// </summary>
    internal static bool IsXtext(ReadOnlySpan<byte> text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            byte c = text[i];
            if (c is < 33 or > 126 or (byte)'=')
                return false;
            if (c != '+')
                continue;
            if (i + 2 >= text.Length || !TryHex(text[i + 1], out int high) || !TryHex(text[i + 2], out int low) || (high << 4 | low) is < 0x20 or > 0x7e)
                return false;
            i += 2;
        }
        return true;
    }

    private static bool TryHex(byte c, out int digit)
    {
        digit = c is >= (byte)'0' and <= (byte)'9' ? c - '0' : c is >= (byte)'A' and <= (byte)'F' ? c - 'A' + 10 : -1; // Capitals only.
        return digit >= 0;
    }
}
