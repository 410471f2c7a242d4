using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>Reads the recipients out of an address list, as To, Cc and Bcc or a command line have them (RFC 5322 §3.4).</summary>
public static class AddressList
{
    /// <summary>Each mailbox without display name, comments and source route; groups are flattened. Not checked further: a bad one comes out as it is.</summary>
    /// <param name="value">What stands after the colon, folds included.</param>
    public static IReadOnlyList<string> Read(ReadOnlySpan<byte> value)
    {
        var addresses = new List<string>();
        var tokens = new AddressTokens(value);
        Span<AddressToken> kept = tokens.Count <= 64 ? stackalloc AddressToken[64] : new AddressToken[tokens.Count];
        kept = kept[..tokens.CopyTo(kept)];
        int start = 0;
        bool inAngles = false;
        for (int i = 0; i <= kept.Length; i++)
        {
            byte kind = i < kept.Length ? kept[i].Kind : (byte)',';
            inAngles = i < kept.Length && (kind == '<' || (inAngles && kind != '>'));
            if (inAngles || kind is not ((byte)',' or (byte)';' or (byte)':'))
                continue;
            if (kind != ':' && i > start) // What ends with a colon is the name of a group.
                Add(addresses, TextOf(value, Mailbox(kept[start..i])));
            start = i + 1;
        }
        return addresses;
    }

    private static void Add(List<string> addresses, string address)
    {
        if (address.Length > 0)
            addresses.Add(address);
    }

    /// <summary>What is in angle brackets, without a route (<c>@a,@b:</c>), else everything.</summary>
    private static ReadOnlySpan<AddressToken> Mailbox(ReadOnlySpan<AddressToken> element)
    {
        int open = element.Length - 1;
        while (open >= 0 && element[open].Kind != '<')
            open--;
        if (open < 0)
            return element;
        int start = open + 1;
        int end = start;
        for (; end < element.Length && element[end].Kind != '>'; end++)
        {
            if (element[end].Kind == ':')
                start = end + 1;
        }
        return element[start..end];
    }

    /// <summary>The tokens in one piece; a blank stays between words, so that "John Doe" does not become an address.</summary>
    private static string TextOf(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> tokens)
    {
        var text = new StringBuilder();
        for (int i = 0; i < tokens.Length; i++)
        {
            if (i > 0 && tokens[i].IsWord && tokens[i - 1].IsWord)
                text.Append(' ');
            text.Append(Encoding.UTF8.GetString(value[tokens[i].Start..tokens[i].End]));
        }
        return text.ToString();
    }
}
