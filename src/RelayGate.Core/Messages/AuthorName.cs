using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>Keeps the name of an author whose address is replaced.</summary>
internal static class AuthorName
{
    private const int MaxColumns = 78; // RFC 5322 §2.1.1.

    /// <summary>The value of a From field that names one address, with the name of the original's first author (or of its group) where that is safe.</summary>
    /// <param name="original">Value of the original field.</param>
    /// <param name="address">What goes between the angle brackets.</param>
    /// <param name="isNameKept">False when there was a name that some reader could take for an address.</param>
    /// <returns>Begins with a blank, ends without CRLF.</returns>
    public static byte[] Rewrite(ReadOnlySpan<byte> original, string address, out bool isNameKept)
    {
        ReadOnlySpan<byte> name = NameIn(original);
        isNameKept = true;
        if (!name.IsEmpty)
        {
            byte[] value = Join(name, address);
            if (NamesOnly(value, address) && IsPhrase(name))
                return value;
            value = Join(Quoted(name), address);
            if (NamesOnly(value, address) && name.IndexOf("=?"u8) < 0) // An encoded word is none between quotes (RFC 2047 §5).
                return value;
            isNameKept = false;
        }
        return Join([], address);
    }

    /// <summary>What stands before the first angle bracket, else the name of the group, else the first comment (the old form: <c>ann@shop.test (Ann)</c>).</summary>
    private static ReadOnlySpan<byte> NameIn(ReadOnlySpan<byte> value)
    {
        var tokens = new AddressTokens(value);
        AddressToken[] kept = new AddressToken[tokens.Count];
        tokens.CopyTo(kept);
        int end = 0;
        while (end < kept.Length && kept[end].Kind is not ((byte)'<' or (byte)',' or (byte)':' or (byte)';'))
            end++;
        if (end > 0 && end < kept.Length && kept[end].Kind is (byte)'<' or (byte)':')
            return value[kept[0].Start..kept[end - 1].End];
        for (int i = 0; i <= end && i < kept.Length; i++)
        {
            ReadOnlySpan<byte> gap = i + 1 < kept.Length ? value[kept[i].End..kept[i + 1].Start] : value[kept[i].End..];
            if (gap.IndexOf((byte)'(') is >= 0 and var open)
                return Comment(gap[(open + 1)..]).Trim(" \t\r\n"u8);
        }
        return [];
    }

    private static ReadOnlySpan<byte> Comment(ReadOnlySpan<byte> text)
    {
        int depth = 1;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '(')
                depth++;
            else if (text[i] == ')' && --depth == 0)
                return text[..i];
        }
        return [];
    }

    /// <summary>Words, with the dots that people write between them (obs-phrase).</summary>
    private static bool IsPhrase(ReadOnlySpan<byte> name)
    {
        var tokens = new AddressTokens(name);
        var kept = new AddressToken[tokens.Count];
        tokens.CopyTo(kept);
        return !tokens.IsBroken && kept is [{ IsWord: true }, ..] && Array.TrueForAll(kept, static token => token.IsWord || token.Kind == '.');
    }

    private static byte[] Quoted(ReadOnlySpan<byte> name)
    {
        var text = new StringBuilder("\"");
        foreach (char c in HeaderText.Clean(HeaderText.Decode(name), EncodedWords.MaxCharacters))
        {
            if (c is '"' or '\\')
                text.Append('\\');
            text.Append(c);
        }
        return Encoding.UTF8.GetBytes(text.Append('"').ToString());
    }

    /// <summary>No reader may find another address in it than the one that was put in.</summary>
    private static bool NamesOnly(ReadOnlySpan<byte> value, string address)
    {
        FromField read = FromField.Read(value);
        return !read.IsUnreadable && read.Addresses is [var only] && only.Text == address;
    }

    private static byte[] Join(ReadOnlySpan<byte> name, string address)
    {
        if (name.IsEmpty)
            return Encoding.UTF8.GetBytes($" <{address}>");
        int lastLine = name.Length - (name.LastIndexOf((byte)'\n') + 1);
        return [(byte)' ', .. name, .. lastLine + address.Length + 9 > MaxColumns ? "\r\n "u8 : " "u8, .. Encoding.UTF8.GetBytes($"<{address}>")];
    }
}
