using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace RelayGate.Telemetry;

/// <summary>A counter with labels from closed sets: one interlocked addition on the hot path, read when somebody scrapes.</summary>
/// <remarks>Label sets known beforehand exist at zero from the start, so that a rate over them is right from the first event on.</remarks>
public sealed class LabelledCounter
{
    /// <summary>More label sets than this are counted together as "other": a bug must not grow memory without end.</summary>
    public int MaxLabelSets { get; init; } = 200;

    private readonly ConcurrentDictionary<(string First, string Second), Cell> _cells = new();
    private readonly string[] _labels;

    internal LabelledCounter(Meter meter, string name, string description, string[] labels, params (string First, string Second)[] known)
    {
        _labels = labels;
        foreach ((string First, string Second) set in known)
            _cells[set] = new Cell(Tags(set));
        if (labels.Length == 0)
            _cells[("", "")] = new Cell([]);
        meter.CreateObservableCounter(name, Observe, "1", description);
    }

    public void Increment(string first = "", string second = "") => Add(1, first, second);

    public void Add(long count, string first = "", string second = "")
    {
        if (!_cells.TryGetValue((first, second), out Cell? cell))
            cell = _cells.GetOrAdd(_cells.Count < MaxLabelSets ? (first, second) : ("other", _labels.Length > 1 ? "other" : ""), set => new Cell(Tags(set)));
        Interlocked.Add(ref cell.Value, count);
    }

    /// <summary>The count of one label set; 0 when it has none.</summary>
    public long Value(string first = "", string second = "") => _cells.TryGetValue((first, second), out Cell? cell) ? Interlocked.Read(ref cell.Value) : 0;

    /// <summary>The count over all label sets.</summary>
    public long Total => _cells.Values.Sum(c => Interlocked.Read(ref c.Value));

    private IEnumerable<Measurement<long>> Observe() => _cells.Values.Select(c => new Measurement<long>(Interlocked.Read(ref c.Value), c.Tags));

    private KeyValuePair<string, object?>[] Tags((string First, string Second) set) => _labels.Length switch
    {
        0 => [],
        1 => [new(_labels[0], set.First)],
        _ => [new(_labels[0], set.First), new(_labels[1], set.Second)],
    };

    private sealed class Cell(KeyValuePair<string, object?>[] tags)
    {
        public readonly KeyValuePair<string, object?>[] Tags = tags;
        public long Value;
    }
}
