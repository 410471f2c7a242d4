namespace RelayGate.Core.Messages;

/// <summary>What was changed in a header section, for the record: each change once, with a count, and not without end.</summary>
internal sealed class HeaderChanges
{
    private const int MaxListed = 50;
    private const int MaxCharacters = 100; // A field name may be as long as the header section.

    private readonly List<string> _order = new(4);
    private readonly Dictionary<string, int> _counts = new(4, StringComparer.OrdinalIgnoreCase);
    private int _more;

    public void Add(string change)
    {
        if (change.Length > MaxCharacters)
            change = change[..MaxCharacters] + "…";
        if (_counts.TryGetValue(change, out int count))
            _counts[change] = count + 1;
        else if (_order.Count == MaxListed)
            _more++;
        else
        {
            _order.Add(change);
            _counts.Add(change, 1);
        }
    }

    public IReadOnlyList<string> ToList()
    {
        var list = _order.ConvertAll(change => _counts[change] is > 1 and var count ? $"{change} ({count})" : change);
        if (_more > 0)
            list.Add($"and {_more} more");
        return list;
    }
}
