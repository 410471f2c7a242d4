using System.Collections.Immutable;
using RelayGate.Core.Reports;

namespace RelayGate.Reports;

/// <summary>Keeps the rows with the largest figures out of any number of them.</summary>
/// <param name="count">How many are kept.</param>
/// <param name="rank">By what: rows with 0 are not counted. Equal ones stand by name.</param>
internal sealed class TopRows(int count, Func<ReportRow, long> rank)
{
    private readonly SortedSet<ReportRow> _rows = new(Comparer<ReportRow>.Create((left, right) =>
    {
        int order = rank(right).CompareTo(rank(left));
        if (order == 0)
            order = right.Offered.CompareTo(left.Offered);
        if (order == 0)
            order = string.CompareOrdinal(left.Kind, right.Kind);
        if (order == 0)
            order = string.CompareOrdinal(left.Of, right.Of);
        return order != 0 ? order : string.CompareOrdinal(left.Name, right.Name);
    }));

    /// <summary>How many there were, those that are not kept included.</summary>
    public long Count { get; private set; }

    public ImmutableArray<ReportRow> Rows => [.. _rows];

    public void Add(ReportRow row)
    {
        if (rank(row) == 0)
            return;
        Count++;
        _rows.Add(row);
        if (_rows.Count > count)
            _rows.Remove(_rows.Max!);
    }

    public ReportSection Section(string key, string title, ReportColumns columns) => new(key, title, columns, Rows, Count);
}
