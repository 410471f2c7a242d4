using System.Buffers;
using System.Text;

namespace RelayGate.Core.Replies;

/// <summary>Finds in a pattern words of which every match has one: who looks for them first makes and runs few patterns.</summary>
/// <remarks>A pattern that it does not understand in full has none; that costs time and nothing else.</remarks>
internal ref struct RequiredWords
{
    private const int MinLength = 3;

    private readonly ReadOnlySpan<char> _pattern;
    private int _at;

    private RequiredWords(ReadOnlySpan<char> pattern) => _pattern = pattern;

    /// <returns>Null: none are known.</returns>
    public static SearchValues<string>? Of(string pattern) =>
        Find(pattern) is { } words ? SearchValues.Create(words, StringComparison.OrdinalIgnoreCase) : null;

    /// <returns>Null: none are known.</returns>
    internal static string[]? Find(string pattern)
    {
        var parser = new RequiredWords(pattern);
        List<string>? words = parser.Alternatives();
        return words is not null && parser._at == pattern.Length ? [.. words] : null;
    }

    private List<string>? Alternatives()
    {
        List<string>? all = [];
        while (true)
        {
            List<string>? words = Branch();
            if (words is null)
                all = null;
            else
                all?.AddRange(words);
            if (_at >= _pattern.Length || _pattern[_at] != '|')
                return all;
            _at++;
        }
    }

    /// <summary>What stands between two bars: the best of its parts.</summary>
    private List<string>? Branch()
    {
        List<string>? best = null;
        var run = new StringBuilder();
        while (_at < _pattern.Length && _pattern[_at] is not ('|' or ')'))
        {
            char c = _pattern[_at++];
            switch (c)
            {
                case '(':
                    Take(run, ref best);
                    List<string>? inner = Group();
                    if (!IsOptional())
                        best = Better(best, inner);
                    break;
                case '[':
                    Take(run, ref best);
                    SkipClass();
                    IsOptional();
                    break;
                case '.' or '^' or '$':
                    Take(run, ref best);
                    IsOptional();
                    break;
                case '\\' when _at < _pattern.Length && char.IsAsciiLetterOrDigit(_pattern[_at]):
                    _at++;
                    Take(run, ref best);
                    IsOptional();
                    break;
                default:
                    if (c == '\\' && _at < _pattern.Length)
                        c = _pattern[_at++];
                    bool isRepeated = _at < _pattern.Length && _pattern[_at] is '?' or '*' or '+' or '{';
                    if (!isRepeated)
                    {
                        run.Append(c);
                        break;
                    }
                    if (!IsOptional())
                        run.Append(c);
                    Take(run, ref best);
                    break;
            }
        }
        Take(run, ref best);
        return best;
    }

    private List<string>? Group()
    {
        bool isKnown = true;
        if (_at < _pattern.Length && _pattern[_at] == '?')
        {
            int end = _pattern[_at..].IndexOfAny('>', ':');
            isKnown = end > 0 && (_pattern[_at + end] == ':' ? end == 1 : _pattern[_at + 1] == '<');
            _at += end > 0 ? end + 1 : 1;
        }
        List<string>? words = Alternatives();
        _at++; // The bracket.
        return isKnown ? words : null;
    }

    private void SkipClass()
    {
        if (_at < _pattern.Length && _pattern[_at] == '^')
            _at++;
        for (bool isFirst = true; _at < _pattern.Length && (isFirst || _pattern[_at] != ']'); isFirst = false)
            _at += _pattern[_at] == '\\' ? 2 : 1;
        _at++;
    }

    /// <summary>Passes a quantifier. True: what stands before it may be missing.</summary>
    private bool IsOptional()
    {
        if (_at >= _pattern.Length || _pattern[_at] is not ('?' or '*' or '+' or '{'))
            return false;
        bool isOptional = _pattern[_at] is '?' or '*' || _pattern[_at..].StartsWith("{0");
        if (_pattern[_at] == '{')
            _at += Math.Max(0, _pattern[_at..].IndexOf('}'));
        _at++;
        if (_at < _pattern.Length && _pattern[_at] == '?')
            _at++;
        return isOptional;
    }

    private static void Take(StringBuilder run, ref List<string>? best)
    {
        if (run.Length >= MinLength)
            best = Better(best, [run.ToString()]);
        run.Clear();
    }

    /// <summary>The longer the shortest word, the rarer it is.</summary>
    private static List<string>? Better(List<string>? one, List<string>? other) =>
        other is null or { Count: 0 } ? one : one is null || other.Min(static w => w.Length) > one.Min(static w => w.Length) ? other : one;
}
