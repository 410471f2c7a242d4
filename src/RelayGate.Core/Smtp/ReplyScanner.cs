namespace RelayGate.Core.Smtp;

/// <summary>What <see cref="ReplyScanner.Scan"/> found.</summary>
public enum ReplyScan
{
    /// <summary>The reply has not ended yet; scan again when more octets are there.</summary>
    Incomplete,

    Complete,

    /// <summary>Not a reply of RFC 5321 §4.2, or over a bound. The connection is of no further use.</summary>
    Malformed,
}

/// <summary>Finds the end of one reply of a next hop, strictly: a reply that is not well-formed says nothing (RFC 5321 §4.2).</summary>
/// <remarks>
/// Every line ends in CRLF, has a code of 2–5, 0–5 (for refusals 0–9), 0–9, followed by a blank, a hyphen or the end, and all have the same code.
/// Mutable: it keeps its place between calls, so that a reply that arrives octet by octet is not scanned anew each time.
/// </remarks>
public struct ReplyScanner
{
    /// <summary>Longest line in octets with CRLF. RFC 5321 §4.5.3.1.5 says 512; some next hops need more.</summary>
    public const int MaxLineOctets = 2048;

    /// <summary>Most lines of one reply.</summary>
    public const int MaxLines = 100;

    /// <summary>Most octets of one reply.</summary>
    public const int MaxOctets = 32 * 1024;

    private int _lines;

    /// <summary>The code, 200 to 599; 0 until a line was read.</summary>
    public int Code { get; private set; }

    /// <summary>Octets of the lines read so far; of the whole reply once it is complete.</summary>
    public int Length { get; private set; }

    /// <summary>Goes on scanning. After <see cref="ReplyScan.Complete"/> or <see cref="ReplyScan.Malformed"/> start with a new scanner.</summary>
    /// <param name="input">From the first octet of the reply; only ever longer than in the call before.</param>
    public ReplyScan Scan(ReadOnlySpan<byte> input)
    {
        while (true)
        {
            ReadOnlySpan<byte> rest = input[Length..];
            int end = rest.IndexOf((byte)'\n');
            if (end < 0)
                return rest.Length >= MaxLineOctets || input.Length > MaxOctets ? ReplyScan.Malformed : ReplyScan.Incomplete;
            if (end + 1 > MaxLineOctets || Length + end + 1 > MaxOctets || ++_lines > MaxLines)
                return ReplyScan.Malformed;
            if (end < 4 || rest[end - 1] != '\r') // The shortest line is "250" CRLF.
                return ReplyScan.Malformed;
            ReadOnlySpan<byte> line = rest[..(end - 1)];
            if (!TryReadCode(line, out int code) || (Code != 0 && code != Code) || line.Contains((byte)'\r'))
                return ReplyScan.Malformed;
            Code = code;
            Length += end + 1;
            if (line.Length == 3 || line[3] == ' ')
                return ReplyScan.Complete;
            if (line[3] != '-')
                return ReplyScan.Malformed;
        }
    }

    private static bool TryReadCode(ReadOnlySpan<byte> line, out int code)
    {
        code = 0;
        if (line[0] is < (byte)'2' or > (byte)'5' || line[1] is < (byte)'0' or > (byte)'9' || line[2] is < (byte)'0' or > (byte)'9')
            return false;
        if (line[0] <= '3' && line[1] > '5') // Refusals such as 571 are outside the grammar, but seen; there is no such acceptance.
            return false;
        code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
        return true;
    }
}
