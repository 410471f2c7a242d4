using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace RelayGate.Telemetry;

/// <summary>Writes the figures of one meter in the text exposition format, version 0.0.4.</summary>
public sealed class MetricsExposition : IDisposable
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Upper bounds in seconds: from a quick local commit to the longest timeout.</summary>
    private static readonly double[] SecondsBounds =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];

    private static readonly double[] CountBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256];

    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<Instrument, HistogramState> _histograms = new();
    private readonly SortedDictionary<string, (Instrument Instrument, List<(string Labels, double Value)> Samples)> _scrape = new(StringComparer.Ordinal);
    private readonly Lock _scraping = new();

    public MetricsExposition(RelayGateMetrics metrics)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (!ReferenceEquals(instrument.Meter, metrics.Meter)) // Other gateways in this process have their own.
                return;
            if (!instrument.IsObservable)
                _histograms[instrument] = new HistogramState(instrument.Unit == "s" ? SecondsBounds : CountBounds);
            listener.EnableMeasurementEvents(instrument, _histograms.GetValueOrDefault(instrument));
        };
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, state) => Take(instrument, value, tags, state));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, state) => Take(instrument, value, tags, state));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, state) => Take(instrument, value, tags, state));
        _listener.Start();
    }

    public string Write()
    {
        var text = new StringBuilder(8192);
        lock (_scraping)
        {
            _scrape.Clear();
            _listener.RecordObservableInstruments();
            foreach ((string name, (Instrument instrument, List<(string Labels, double Value)> samples)) in _scrape)
            {
                WriteHeader(text, name, instrument, name.EndsWith("_total", StringComparison.Ordinal) ? "counter" : "gauge");
                foreach ((string labels, double value) in samples.OrderBy(s => s.Labels, StringComparer.Ordinal))
                    text.Append(name).Append(labels).Append(' ').Append(Number(value)).Append('\n');
            }
        }
        foreach ((Instrument instrument, HistogramState histogram) in _histograms.OrderBy(h => h.Key.Name, StringComparer.Ordinal))
        {
            WriteHeader(text, instrument.Name, instrument, "histogram");
            histogram.Write(text, instrument.Name);
        }
        return text.ToString();
    }

    public void Dispose() => _listener.Dispose();

    private void Take(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        if (state is HistogramState histogram)
        {
            histogram.Record(value);
            return;
        }
        // Only reached under the lock, from RecordObservableInstruments.
        if (!_scrape.TryGetValue(instrument.Name, out (Instrument Instrument, List<(string Labels, double Value)> Samples) metric))
            _scrape[instrument.Name] = metric = (instrument, []);
        metric.Samples.Add((Labels(tags), value));
    }

    private static void WriteHeader(StringBuilder text, string name, Instrument instrument, string type) => text
        .Append("# HELP ").Append(name).Append(' ').Append(instrument.Description?.Replace("\\", @"\\").Replace("\n", @"\n")).Append('\n')
        .Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
            return "";
        var text = new StringBuilder("{");
        foreach ((string name, object? value) in tags)
        {
            string escaped = Convert.ToString(value, CultureInfo.InvariantCulture)!.Replace("\\", @"\\").Replace("\"", "\\\"").Replace("\n", @"\n");
            text.Append(text.Length > 1 ? "," : "").Append(name).Append("=\"").Append(escaped).Append('"');
        }
        return text.Append('}').ToString();
    }

    private static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>Counts by bucket; each record is three interlocked operations.</summary>
    private sealed class HistogramState(double[] bounds)
    {
        private readonly long[] _buckets = new long[bounds.Length + 1];
        private double _sum;

        public void Record(double value)
        {
            int bucket = 0;
            while (bucket < bounds.Length && value > bounds[bucket])
                bucket++;
            Interlocked.Increment(ref _buckets[bucket]);
            double seen = Volatile.Read(ref _sum);
            while (Interlocked.CompareExchange(ref _sum, seen + value, seen) is double now && now != seen)
                seen = now;
        }

        /// <summary>The count is that of the last bucket, so that both always agree.</summary>
        public void Write(StringBuilder text, string name)
        {
            long count = 0;
            for (int i = 0; i <= bounds.Length; i++)
            {
                count += Interlocked.Read(ref _buckets[i]);
                text.Append(name).Append("_bucket{le=\"").Append(i < bounds.Length ? Number(bounds[i]) : "+Inf").Append("\"} ").Append(count).Append('\n');
            }
            text.Append(name).Append("_sum ").Append(Number(Volatile.Read(ref _sum))).Append('\n')
                .Append(name).Append("_count ").Append(count).Append('\n');
        }
    }
}
