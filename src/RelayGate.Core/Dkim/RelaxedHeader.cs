using RelayGate.Core.Messages;

namespace RelayGate.Core.Dkim;

/// <summary>Relaxed canonicalisation of header fields (RFC 6376 §3.4.2).</summary>
internal static class RelaxedHeader
{
    /// <summary>Writes <c>name:value CRLF</c>: unfolded, runs of blanks as one space, none at both ends.</summary>
    /// <param name="lowerCaseName">The name in lower case.</param>
    /// <param name="value">What stands after the colon, with or without the final CRLF.</param>
    public static void Write(OctetWriter output, ReadOnlySpan<byte> lowerCaseName, ReadOnlySpan<byte> value)
    {
        output.Write(lowerCaseName);
        output.Write((byte)':');
        bool any = false;
        bool blank = false;
        while (!value.IsEmpty)
        {
            int text = value.IndexOfAny(" \t\r\n"u8);
            if (text < 0)
                text = value.Length;
            if (text > 0)
            {
                if (blank && any)
                    output.Write((byte)' ');
                output.Write(value[..text]);
                any = true;
                blank = false;
                value = value[text..];
                continue;
            }
            // CRLF of a fold vanishes; the blank after it counts.
            blank |= value[0] is (byte)' ' or (byte)'\t';
            value = value[1..];
        }
        output.Write("\r\n"u8);
    }
}
