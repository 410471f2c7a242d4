using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>Decodes encoded words (RFC 2047) for records and for looking behind display names; what cannot be decoded stays as it is. Encodes our own text.</summary>
internal static class EncodedWords
{
    /// <summary>Longest text that is looked at, in characters.</summary>
    public const int MaxCharacters = 16 * 1024;

    /// <summary>Text for an unstructured field: as it is when it is ASCII, else as encoded words in UTF-8, folded between them.</summary>
    public static string Encode(string text)
    {
        if (Ascii.IsValid(text))
            return text;
        const int MaxOctets = 45; // In base 64, with the frame: at most 72 characters a word (RFC 2047 §2).
        var encoded = new StringBuilder();
        Span<byte> word = stackalloc byte[MaxOctets];
        int used = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (used + rune.Utf8SequenceLength > MaxOctets)
            {
                Append(word[..used]);
                used = 0;
            }
            used += rune.EncodeToUtf8(word[used..]);
        }
        Append(word[..used]);
        return encoded.ToString();

        void Append(ReadOnlySpan<byte> octets) =>
            encoded.Append(encoded.Length > 0 ? "\r\n " : "").Append("=?utf-8?B?").Append(Convert.ToBase64String(octets)).Append("?=");
    }

    /// <param name="wordsOnly">Leave out what is no encoded word.</param>
    public static string Decode(string text, bool wordsOnly = false)
    {
        if (!text.Contains("=?", StringComparison.Ordinal))
            return text;
        var decoded = new StringBuilder(text.Length);
        var pending = new ArrayBufferWriter<byte>(); // Octets of adjacent words: a character may be split between two.
        bool pendingIsUtf8 = true;
        ReadOnlySpan<char> rest = text.AsSpan(0, Math.Min(text.Length, MaxCharacters));
        while (!rest.IsEmpty)
        {
            int start = rest.IndexOf("=?", StringComparison.Ordinal);
            if (start < 0)
                break;
            if (!TryReadWord(rest[start..], out int length, out byte[] octets, out bool utf8))
            {
                Flush();
                decoded.Append(wordsOnly ? "" : rest[..(start + 2)]);
                rest = rest[(start + 2)..];
                continue;
            }
            bool onlyBlanks = rest[..start].IsWhiteSpace();
            if (!onlyBlanks || pending.WrittenCount == 0 || utf8 != pendingIsUtf8)
            {
                Flush();
                if (!wordsOnly && (!onlyBlanks || decoded.Length == 0))
                    decoded.Append(rest[..start]);
            }
            pending.Write(octets);
            pendingIsUtf8 = utf8;
            rest = rest[(start + length)..];
        }
        Flush();
        return decoded.Append(wordsOnly ? "" : rest).ToString();

        void Flush()
        {
            if (pending.WrittenCount == 0)
                return;
            decoded.Append((pendingIsUtf8 ? Encoding.UTF8 : Encoding.Latin1).GetString(pending.WrittenSpan));
            pending.ResetWrittenCount();
        }
    }

    /// <summary>Reads <c>=?charset?B or Q?text?=</c> for UTF-8, US-ASCII and ISO-8859-1; other charsets are read as the latter when ASCII suffices.</summary>
    private static bool TryReadWord(ReadOnlySpan<char> text, out int length, out byte[] octets, out bool utf8)
    {
        length = 0;
        octets = [];
        utf8 = true;
        ReadOnlySpan<char> rest = text[2..];
        int charsetEnd = rest.IndexOf('?');
        if (charsetEnd <= 0 || charsetEnd + 3 >= rest.Length || rest[charsetEnd + 2] != '?')
            return false;
        ReadOnlySpan<char> charset = rest[..charsetEnd];
        char encoding = rest[charsetEnd + 1];
        ReadOnlySpan<char> content = rest[(charsetEnd + 3)..];
        int end = content.IndexOf("?=", StringComparison.Ordinal);
        if (end < 0)
            return false;
        content = content[..end];
        length = 2 + charsetEnd + 3 + end + 2;
        utf8 = charset.StartsWith("utf-8", StringComparison.OrdinalIgnoreCase) || charset.StartsWith("us-ascii", StringComparison.OrdinalIgnoreCase);
        if (encoding is 'B' or 'b')
        {
            if (!Base64.IsValid(content, out int decodedLength))
                return false;
            octets = new byte[decodedLength];
            return Convert.TryFromBase64Chars(content, octets, out _);
        }
        if (encoding is not ('Q' or 'q'))
            return false;
        octets = DecodeQ(content);
        return true;
    }

    private static byte[] DecodeQ(ReadOnlySpan<char> content)
    {
        var octets = new ArrayBufferWriter<byte>(Math.Max(1, content.Length));
        for (int i = 0; i < content.Length; i++)
        {
            byte octet = content[i] switch
            {
                '_' => (byte)' ',
                < '\x80' => (byte)content[i],
                _ => (byte)'?',
            };
            if (content[i] == '=' && i + 2 < content.Length && char.IsAsciiHexDigit(content[i + 1]) && char.IsAsciiHexDigit(content[i + 2]))
            {
                octet = (byte)((FromHex(content[i + 1]) << 4) | FromHex(content[i + 2]));
                i += 2;
            }
            octets.Write([octet]);
        }
        return octets.WrittenSpan.ToArray();
    }

    private static int FromHex(char c) => c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}
