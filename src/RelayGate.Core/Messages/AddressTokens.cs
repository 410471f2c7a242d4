using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>A piece of an address list. <see cref="Kind"/> is the special character itself, or 'a' atom, 'q' quoted string, '[' domain literal.</summary>
internal readonly record struct AddressToken(byte Kind, int Start, int End)
{
    public bool IsWord => Kind is (byte)'a' or (byte)'q';

    public bool IsDomainPart => Kind is (byte)'a' or (byte)'[';
}

/// <summary>Cuts an address list into tokens (RFC 5322 §3.2), comments and blanks left out.</summary>
internal readonly ref struct AddressTokens
{
    private readonly List<AddressToken> _tokens = new(12);

    public AddressTokens(ReadOnlySpan<byte> value)
    {
        Hidden = [];
        int position = 0;
        while (position < value.Length)
        {
            byte octet = value[position];
            int start = position;
            switch (octet)
            {
                case (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n':
                    position++;
                    continue;
                case (byte)'(':
                    IsBroken |= !TrySkipComment(value, ref position);
                    Hide(value[(start + 1)..Math.Max(start + 1, position - 1)], onlyInAngles: false);
                    continue;
                case (byte)'"':
                    IsBroken |= !TrySkip(value, ref position, (byte)'"');
                    Hide(value[(start + 1)..Math.Max(start + 1, position - 1)], onlyInAngles: true);
                    _tokens.Add(new AddressToken((byte)'q', start, position));
                    continue;
                case (byte)'[':
                    IsBroken |= !TrySkip(value, ref position, (byte)']');
                    _tokens.Add(new AddressToken((byte)'[', start, position));
                    continue;
                case (byte)'<' or (byte)'>' or (byte)'@' or (byte)',' or (byte)';' or (byte)':' or (byte)'.'
                    or (byte)')' or (byte)']' or (byte)'\\':
                    position++;
                    _tokens.Add(new AddressToken(octet, start, position));
                    continue;
            }
            IsBroken |= octet is < (byte)' ' or 0x7f;
            position++;
            while (position < value.Length && !" \t\r\n()<>[]:;@\\,.\""u8.Contains(value[position]))
                IsBroken |= value[position++] is < (byte)' ' or 0x7f;
            _tokens.Add(new AddressToken((byte)'a', start, position));
        }
        if (value.IndexOf("=?"u8) >= 0)
            Hide(Encoding.UTF8.GetBytes(EncodedWords.Decode(Encoding.UTF8.GetString(value), wordsOnly: true)), onlyInAngles: true);
    }

    public int Count => _tokens.Count;

    /// <summary>Texts that could hold further addresses.</summary>
    public List<string> Hidden { get; }

    /// <summary>A comment, quoted string or literal does not end, or there is a control character.</summary>
    public bool IsBroken { get; }

    public int CopyTo(Span<AddressToken> tokens)
    {
        for (int i = 0; i < _tokens.Count; i++)
            tokens[i] = _tokens[i];
        return _tokens.Count;
    }

    private void Hide(ReadOnlySpan<byte> text, bool onlyInAngles)
    {
        if (text.Contains((byte)'@') && (!onlyInAngles || text.Contains((byte)'<')))
            Hidden.Add(Encoding.UTF8.GetString(text).Replace("\\", "", StringComparison.Ordinal));
    }

    private static bool TrySkip(ReadOnlySpan<byte> value, ref int position, byte end)
    {
        for (position++; position < value.Length; position++)
        {
            if (value[position] == '\\')
                position++;
            else if (value[position] == end)
            {
                position++;
                return true;
            }
        }
        position = value.Length;
        return false;
    }

    /// <summary>Comments nest (RFC 5322 §3.2.2).</summary>
    private static bool TrySkipComment(ReadOnlySpan<byte> value, ref int position)
    {
        int depth = 0;
        for (; position < value.Length; position++)
        {
            switch (value[position])
            {
                case (byte)'\\':
                    position++;
                    break;
                case (byte)'(':
                    depth++;
                    break;
                case (byte)')' when --depth == 0:
                    position++;
                    return true;
            }
        }
        position = value.Length;
        return false;
    }
}
