using RelayGate.Core.Smtp;

namespace RelayGate.Core.Replies;

/// <summary>A pattern of enhanced status codes (RFC 3463 §2): <c>5.7.1</c>, <c>x.7.26</c> (any class), <c>5.7.606-649</c>, <c>x.2.x</c>.</summary>
internal readonly record struct StatusPattern(byte? Class, ushort? Subject, ushort? FirstDetail, ushort LastDetail)
{
    public static bool TryParse(string text, out StatusPattern pattern)
    {
        pattern = default;
        string[] parts = text.Split('.');
        if (parts.Length != 3 || parts[0] is not ("2" or "4" or "5" or "x") || !TryNumber(parts[1], out ushort? subject))
            return false;
        string[] range = parts[2].Split('-');
        if (range.Length > 2 || !TryNumber(range[0], out ushort? first) || (range.Length == 2 && first is null))
            return false;
        ushort? last = first;
        if (range.Length == 2 && (!TryNumber(range[1], out last) || last is null || last < first))
            return false;
        pattern = new StatusPattern(parts[0] == "x" ? null : (byte)(parts[0][0] - '0'), subject, first, last ?? ushort.MaxValue);
        return true;
    }

    public bool Matches(EnhancedStatusCode code) =>
        (Class is null || Class == code.Class) && (Subject is null || Subject == code.Subject) && (FirstDetail is null || (code.Detail >= FirstDetail && code.Detail <= LastDetail));

    private static bool TryNumber(string text, out ushort? number)
    {
        number = null;
        if (text == "x")
            return true;
        if (text.Length is 0 or > 3 || !text.All(char.IsAsciiDigit))
            return false;
        number = ushort.Parse(text);
        return true;
    }
}
