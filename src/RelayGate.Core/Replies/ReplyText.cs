namespace RelayGate.Core.Replies;

/// <summary>Finds in the text of a reply what people need: the first address of a page. Linear, and bounded in what it gives.</summary>
internal static class ReplyText
{
    /// <summary>Most characters of an address, and of a code or the name of a list.</summary>
    public const int MaxUrl = 300;

    public const int MaxWord = 100;

    private static readonly System.Buffers.SearchValues<char> AfterUrl = System.Buffers.SearchValues.Create(" <>\"'`|\\");

    /// <summary>The first address with a scheme, else the first <c>host.domain/path</c>; null: none.</summary>
    public static string? FindUrl(string text)
    {
        for (int at = 0; (at = text.IndexOf("http", at, StringComparison.OrdinalIgnoreCase)) >= 0; at += 4)
        {
            ReadOnlySpan<char> rest = text.AsSpan(at);
            int scheme = rest.StartsWith("https://", StringComparison.OrdinalIgnoreCase) ? 8 : rest.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? 7 : 0;
            if (scheme > 0 && CutUrl(rest) is { } url && url.Length > scheme)
                return url;
        }
        for (int slash = 0; (slash = text.IndexOf('/', slash)) >= 0; slash++)
        {
            int start = slash;
            while (start > 0 && slash - start < 255 && (char.IsAsciiLetterOrDigit(text[start - 1]) || text[start - 1] is '.' or '-'))
                start--;
            ReadOnlySpan<char> host = text.AsSpan(start, slash - start);
            bool isPart = start > 0 && text[start - 1] is '@' or '/' or '\\' or ':';
            if (!isPart && IsHost(host) && CutUrl(text.AsSpan(start)) is { } url)
                return url;
        }
        return null;
    }

    /// <summary>A code or a name that a rule has captured, without what surrounds it; null: nothing is left.</summary>
    public static string? Word(string text)
    {
        ReadOnlySpan<char> word = text.AsSpan().Trim().Trim(".,;:()[]<>\"'");
        if (word.Length > MaxWord)
            word = word[..MaxWord];
        return word.IsEmpty ? null : word.ToString();
    }

    /// <summary>An address that begins here, without the punctuation of the sentence; null: too long to be one that helps.</summary>
    public static string? CutUrl(ReadOnlySpan<char> text)
    {
        int end = text.IndexOfAny(AfterUrl);
        ReadOnlySpan<char> url = (end < 0 ? text : text[..end]).TrimEnd(".,;:!?)]}");
        return url.IsEmpty || url.Length > MaxUrl ? null : url.ToString();
    }

    private static bool IsHost(ReadOnlySpan<char> host)
    {
        int dot = host.LastIndexOf('.');
        if (dot <= 0 || host.Length - dot - 1 < 2)
            return false;
        foreach (char c in host[(dot + 1)..])
        {
            if (!char.IsAsciiLetter(c))
                return false;
        }
        return true;
    }
}
