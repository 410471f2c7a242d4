using System.Text;

namespace RelayGate.Core.Dns;

/// <summary>Domain names in the wire format of RFC 1035 §3.1 and §4.1.4.</summary>
internal static class DnsNameCodec
{
    private const int MaxOctets = 255;
    private const int MaxLabelOctets = 63;
    private const int MaxPointers = 32; // Servers use one or two; more only cost time.

    /// <summary>Writes labels and the final root; no compression.</summary>
    /// <returns>False when a label or the name is too long, or a label is empty.</returns>
    public static bool TryWrite(string name, Span<byte> target, out int written)
    {
        written = 0;
        if (name.Length > 0)
        {
            foreach (Range range in name.AsSpan().Split('.'))
            {
                ReadOnlySpan<char> label = name.AsSpan(range);
                if (label.Length is 0 or > MaxLabelOctets || !Ascii.IsValid(label) || written + label.Length + 2 > Math.Min(MaxOctets, target.Length))
                    return false;
                target[written++] = (byte)label.Length;
                written += Encoding.ASCII.GetBytes(label, target[written..]);
            }
        }
        if (written >= target.Length)
            return false;
        target[written++] = 0;
        return true;
    }

    /// <summary>Reads a name that may be compressed. Pointers must lead strictly backwards, so that no loop is possible.</summary>
    /// <param name="position">Moved behind the name.</param>
    /// <param name="name">Lower case, labels joined with dots. Octets that a host name cannot have are written as \ddd (RFC 1035 §5.1).</param>
    public static bool TryRead(ReadOnlySpan<byte> message, ref int position, out string name)
    {
        name = "";
        var text = new StringBuilder();
        int octets = 0;
        int pointers = 0;
        int at = position;
        int end = -1; // Where the name ends in the record, once a pointer was followed.
        int limit = position; // A pointer must lead before this.
        while (true)
        {
            if (at >= message.Length)
                return false;
            int length = message[at];
            if (length == 0)
            {
                position = end >= 0 ? end : at + 1;
                name = text.ToString();
                return true;
            }
            if ((length & 0xc0) == 0xc0)
            {
                if (at + 1 >= message.Length)
                    return false;
                int target = ((length & 0x3f) << 8) | message[at + 1];
                if (end < 0)
                    end = at + 2;
                if (target >= limit || ++pointers > MaxPointers)
                    return false;
                limit = at = target;
                continue;
            }
            if ((length & 0xc0) != 0 || at + 1 + length > message.Length || (octets += length + 1) >= MaxOctets)
                return false;
            if (text.Length > 0)
                text.Append('.');
            foreach (byte octet in message.Slice(at + 1, length))
                Append(text, octet);
            at += length + 1;
        }
    }

    private static void Append(StringBuilder text, byte octet)
    {
        char c = char.ToLowerInvariant((char)octet);
        if (c is >= 'a' and <= 'z' or >= '0' and <= '9' or '-' or '_' or '*' or '/')
            text.Append(c);
        else
            text.Append('\\').Append(octet / 100).Append(octet / 10 % 10).Append(octet % 10);
    }
}
