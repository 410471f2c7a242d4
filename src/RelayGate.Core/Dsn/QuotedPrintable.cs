using RelayGate.Core.Messages;

namespace RelayGate.Core.Dsn;

/// <summary>The quoted-printable encoding (RFC 2045 §6.7).</summary>
internal static class QuotedPrintable
{
    private const int MaxColumns = 76;

    /// <summary>Encodes text whose lines end with CRLF.</summary>
    public static byte[] Encode(ReadOnlySpan<byte> text)
    {
        using var encoded = new OctetWriter(text.Length * 2);
        int column = 0;
        for (int i = 0; i < text.Length; i++)
        {
            byte octet = text[i];
            if (octet == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
            {
                encoded.Write("\r\n"u8);
                column = 0;
                i++;
                continue;
            }
            bool endsLine = i + 1 == text.Length || (text[i + 1] == '\r' && i + 2 < text.Length && text[i + 2] == '\n');
            bool literal = octet is > (byte)' ' and < 0x7f and not (byte)'=' || (octet is (byte)' ' or (byte)'\t' && !endsLine);
            if (column + (literal ? 1 : 3) > MaxColumns - 1)
            {
                encoded.Write("=\r\n"u8);
                column = 0;
            }
            if (literal)
                encoded.Write(octet);
            else
                encoded.Write([(byte)'=', HexDigit(octet >> 4), HexDigit(octet & 15)]);
            column += literal ? 1 : 3;
        }
        return encoded.ToArray();
    }

    private static byte HexDigit(int value) => (byte)"0123456789ABCDEF"[value];
}
