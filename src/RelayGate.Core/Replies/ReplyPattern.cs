using System.Buffers;
using System.Text.RegularExpressions;

namespace RelayGate.Core.Replies;

/// <summary>A regular expression for the text of replies: linear in their length whatever they hold, and made only when a reply has one of its words.</summary>
/// <remarks>
/// Such an expression costs about one MiB and ten milliseconds to make, whatever its options; of a hundred rules a process meets few. To make all of them
/// ahead would hold 100 MiB for the sake of a moment that no client waits for.
/// </remarks>
internal sealed class ReplyPattern
{
    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture;

    private readonly Lazy<Regex> _regex;
    private readonly SearchValues<string>? _words;

    public ReplyPattern(string pattern)
    {
        _regex = new Lazy<Regex>(() => Make(pattern));
        _words = RequiredWords.Of(pattern);
    }

    /// <exception cref="RegexParseException">No regular expression.</exception>
    /// <exception cref="NotSupportedException">It needs to look ahead or back, or is too large.</exception>
    public static Regex Make(string pattern) => new(pattern, Options);

    /// <summary>The first match, or null.</summary>
    public Match? Find(string text)
    {
        if (!IsMatch(text))
            return null;
        Match match = _regex.Value.Match(text); // Dearer than to know that there is one.
        return match.Success ? match : null;
    }

    public bool IsMatch(string text) => (_words is null || text.AsSpan().ContainsAny(_words)) && _regex.Value.IsMatch(text);
}
