namespace RelayGate.Core.Smtp;

/// <summary>An enhanced mail system status code, class "." subject "." detail (RFC 3463 §2).</summary>
public readonly record struct EnhancedStatusCode(byte Class, ushort Subject, ushort Detail)
{
    /// <summary>Reads a code at the start of <paramref name="text"/>, followed by a blank or the end.</summary>
    /// <param name="length">Number of characters taken.</param>
    public static bool TryParse(ReadOnlySpan<char> text, out EnhancedStatusCode code, out int length)
    {
        code = default;
        length = 0;
        if (text.Length < 5 || text[0] is not ('2' or '4' or '5') || text[1] != '.')
            return false;
        int position = 2;
        if (!TryReadNumber(text, ref position, out ushort subject) || position >= text.Length || text[position] != '.')
            return false;
        position++;
        if (!TryReadNumber(text, ref position, out ushort detail) || (position < text.Length && text[position] != ' '))
            return false;
        code = new EnhancedStatusCode((byte)(text[0] - '0'), subject, detail);
        length = position;
        return true;
    }

    public override string ToString() => $"{Class}.{Subject}.{Detail}";

    private static bool TryReadNumber(ReadOnlySpan<char> text, ref int position, out ushort number)
    {
        int start = position;
        number = 0;
        while (position < text.Length && position - start < 3 && char.IsAsciiDigit(text[position]))
            number = (ushort)(number * 10 + (text[position++] - '0'));
        return position > start;
    }
}
