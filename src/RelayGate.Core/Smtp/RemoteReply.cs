using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Smtp;

/// <summary>Makes a value of a next hop's reply: one line of clean text, so that nothing it says can forge a log line, a record or a DSN field.</summary>
public static class RemoteReply
{
    /// <summary>Most characters of the text that records, logs and DSNs keep.</summary>
    public const int MaxCharacters = 500;

    /// <summary>All of it: what the reply is about may stand in its last line.</summary>
    /// <param name="wire">A reply that <see cref="ReplyScanner"/> found complete.</param>
    public static SmtpReply Read(ReadOnlySpan<byte> wire)
    {
        int code = (wire[0] - '0') * 100 + (wire[1] - '0') * 10 + (wire[2] - '0');
        EnhancedStatusCode? enhanced = null;
        var text = new StringBuilder();
        while (!wire.IsEmpty)
        {
            int end = wire.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = end < 0 ? wire : wire[..end];
            wire = end < 0 ? [] : wire[(end + 2)..];
            string part = Clean(line.Length > 4 ? line[4..] : []);
            if (EnhancedStatusCode.TryParse(part, out EnhancedStatusCode found, out int length) && found.Class == code / 100)
            {
                enhanced ??= found;
                part = part[length..].TrimStart(' ');
            }
            if (text.Length > 0 && part.Length > 0)
                text.Append(' ');
            text.Append(part);
        }
        return new SmtpReply(code, enhanced, text.ToString());
    }

    /// <summary>As it is kept: with <see cref="MaxCharacters"/> of its text at most.</summary>
    public static SmtpReply Cut(SmtpReply reply) => reply.Text.Length <= MaxCharacters ? reply
        : new SmtpReply(reply.Code, reply.Enhanced, reply.Text[..(MaxCharacters - (char.IsHighSurrogate(reply.Text[MaxCharacters - 1]) ? 1 : 0))]);

    /// <summary>The status to record: the enhanced code where the next hop gave one of the same class, else class.0.0 (RFC 3463 §2).</summary>
    public static string StatusOf(SmtpReply reply) => reply.Enhanced?.ToString() ?? $"{reply.Code / 100}.0.0";

    /// <summary>Text of a peer without control characters: each becomes "?", except the tab, which becomes a blank. Invalid UTF-8 is replaced.</summary>
    public static string Clean(ReadOnlySpan<byte> octets)
    {
        string text = Encoding.UTF8.GetString(octets);
        foreach (char c in text)
        {
            if (PrintableText.IsUnsafe(c))
                return string.Create(text.Length, text, static (span, source) =>
                {
                    for (int i = 0; i < source.Length; i++)
                        span[i] = source[i] == '\t' ? ' ' : PrintableText.IsUnsafe(source[i]) ? '?' : source[i];
                });
        }
        return text;
    }
}
