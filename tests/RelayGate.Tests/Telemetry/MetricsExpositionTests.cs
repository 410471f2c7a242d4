using RelayGate.Core.Policy;
using RelayGate.Telemetry;

namespace RelayGate.Tests.Telemetry;

public sealed class MetricsExpositionTests : IDisposable
{
    private readonly RelayGateMetrics _metrics = new();
    private readonly MetricsExposition _exposition;

    public MetricsExpositionTests() => _exposition = new MetricsExposition(_metrics);

    public void Dispose()
    {
        _exposition.Dispose();
        _metrics.Dispose();
    }

    [Fact]
    public void Every_reason_exists_at_zero_before_anything_happened()
    {
        string text = _exposition.Write();

        Assert.All(Reasons.All, r => Assert.Contains($"reason=\"{r}\"}} 0\n", text, StringComparison.Ordinal));
        Assert.Contains("relaygate_egress_mismatch_total 0\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_limit_refusals_total{level=\"mailbox\"} 0\n", text, StringComparison.Ordinal);
        Assert.Contains($"relaygate_build_info{{version=\"{RelayGateMetrics.Version}\"}} 1\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Counters_gauges_and_histograms_add_up()
    {
        _metrics.SessionOpened();
        _metrics.Deliveries.Add(3, "delivered");
        _metrics.BatchCommitted(5, TimeSpan.FromMilliseconds(2));
        _metrics.BatchCommitted(64, TimeSpan.FromSeconds(2000));
        _metrics.ObserveQueue(() => [("deferred", 7)], () => 12.5, () => 4096, () => 2);

        string text = _exposition.Write();

        Assert.Contains("# TYPE relaygate_deliveries_total counter\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_deliveries_total{result=\"delivered\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_smtp_sessions 1\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_queue_messages{state=\"deferred\"} 7\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_queue_oldest_seconds 12.5\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_queue_memory_bytes 4096\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_deliveries_in_flight 2\n", text, StringComparison.Ordinal);
        Assert.Contains("# TYPE relaygate_store_commit_seconds histogram\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_bucket{le=\"0.001\"} 0\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_bucket{le=\"0.0025\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_bucket{le=\"600\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_bucket{le=\"+Inf\"} 2\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_sum 2000.002\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_commit_seconds_count 2\n", text, StringComparison.Ordinal);
        Assert.Contains("relaygate_store_batch_writes_bucket{le=\"64\"} 2\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_line_is_a_comment_or_a_sample_and_each_metric_has_one_type()
    {
        string[] lines = _exposition.Write().Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.All(lines, l => Assert.Matches("""^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.eE+-]+)$""", l));
        string[] types = [.. lines.Where(l => l.StartsWith("# TYPE", StringComparison.Ordinal))];
        Assert.Equal(types.Length, types.Select(t => t.Split(' ')[2]).Distinct().Count());
    }

    [Fact]
    public void Another_gateway_in_the_process_has_figures_of_its_own()
    {
        using var other = new RelayGateMetrics();
        other.EgressBindFailures.Increment();

        Assert.Contains("relaygate_egress_bind_failures_total 0\n", _exposition.Write(), StringComparison.Ordinal);
    }

    [Fact]
    public void Label_sets_that_nobody_foresaw_are_bounded()
    {
        for (int i = 0; i < 1000; i++)
            _metrics.Deliveries.Increment($"bug {i}");

        int lines = _exposition.Write().Split('\n').Count(l => l.StartsWith("relaygate_deliveries_total{", StringComparison.Ordinal));

        Assert.InRange(lines, 4, 202);
        Assert.Equal(1000, _metrics.Deliveries.Total);
    }
}
