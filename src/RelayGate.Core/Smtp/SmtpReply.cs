using System.Text;

namespace RelayGate.Core.Smtp;

/// <summary>One SMTP reply: code, enhanced code and text (RFC 5321 §4.2, RFC 2034).</summary>
/// <param name="Code">Three digits, 200 to 599.</param>
/// <param name="Enhanced">Null where RFC 2034 §4 leaves it out: the greeting, EHLO, 354 and 334.</param>
/// <param name="Text">One line or, separated by LF, several; no CR, no other control characters.</param>
public sealed record SmtpReply(int Code, EnhancedStatusCode? Enhanced, string Text)
{
    private byte[]? _wire;

    /// <summary>Reads the spelling used in code and tests: <c>"451 4.7.1 Try later"</c>.</summary>
    /// <exception cref="FormatException">The text does not begin with a reply code.</exception>
    public static SmtpReply Parse(string text)
    {
        if (text.Length < 3 || !int.TryParse(text.AsSpan(0, 3), out int code) || code is < 200 or > 599)
            throw new FormatException($"'{text}' is not an SMTP reply");
        ReadOnlySpan<char> rest = text.AsSpan(3).TrimStart(' ');
        if (!EnhancedStatusCode.TryParse(rest, out EnhancedStatusCode enhanced, out int length))
            return new SmtpReply(code, null, rest.ToString());
        return new SmtpReply(code, enhanced, rest[length..].TrimStart(' ').ToString());
    }

    /// <summary>2yz or 3yz.</summary>
    public bool IsPositive => Code < 400;

    /// <summary>4yz: the same command may succeed later (RFC 5321 §4.2.1).</summary>
    public bool IsTransient => Code is >= 400 and < 500;

    /// <summary>5yz.</summary>
    public bool IsPermanent => Code >= 500;

    /// <summary>This reply with <c>; ref …</c> at its end, for decisions and acceptances.</summary>
    public SmtpReply WithRef(Mail.QueueId id) => this with { Text = $"{Text}; ref {id}", _wire = null };

    /// <summary>The octets on the wire, with CRLF; made once for each reply value.</summary>
    public ReadOnlyMemory<byte> ToWire() => _wire ??= Encoding.UTF8.GetBytes(Format("\r\n") + "\r\n");

    public override string ToString() => Format("\n");

    public bool Equals(SmtpReply? other) => other is not null && Code == other.Code && Enhanced == other.Enhanced && Text == other.Text;

    public override int GetHashCode() => HashCode.Combine(Code, Enhanced, Text);

    private string Format(string lineEnd)
    {
        string enhanced = Enhanced is { } code ? $"{code} " : "";
        if (!Text.Contains('\n'))
            return $"{Code} {enhanced}{Text}";
        string[] lines = Text.Split('\n');
        var wire = new StringBuilder();
        for (int i = 0; i < lines.Length; i++)
            wire.Append(Code).Append(i == lines.Length - 1 ? ' ' : '-').Append(enhanced).Append(lines[i]).Append(i == lines.Length - 1 ? "" : lineEnd);
        return wire.ToString();
    }
}
