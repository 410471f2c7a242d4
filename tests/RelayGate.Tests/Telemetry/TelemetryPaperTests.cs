using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using RelayGate.Core.Mail;
using RelayGate.Telemetry;

namespace RelayGate.Tests.Telemetry;

/// <summary>What docs/telemetry.md says exists, and the other way round.</summary>
public sealed class TelemetryPaperTests
{
    private static string Paper([CallerFilePath] string thisFile = "") =>
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(thisFile)!, "../../../docs/telemetry.md"));

    [Fact]
    public void Every_metric_stands_in_the_paper_and_no_other()
    {
        var names = new HashSet<string>();
        using var listener = new MeterListener();
        using var metrics = new RelayGateMetrics();
        listener.InstrumentPublished = (instrument, _) =>
        {
            if (ReferenceEquals(instrument.Meter, metrics.Meter))
                names.Add(instrument.Name);
        };
        listener.Start();

        IEnumerable<string> written = Regex.Matches(Paper(), @"^\| `(?<name>[a-z]+_[a-z_]+)` \|", RegexOptions.Multiline).Select(static m => m.Groups["name"].Value);
        Assert.Equal(names.Order(), written.Order());
    }

    [Fact]
    public void Every_event_of_the_mail_log_stands_in_the_paper()
    {
        string events = Paper()[Paper().IndexOf("| event |", StringComparison.Ordinal)..];
        Assert.All(Enum.GetValues<MailEventKind>(), kind =>
        {
            var line = new System.Text.StringBuilder();
            new MailEvent(kind, QueueId.Create(DateTimeOffset.UnixEpoch, 1, 2)).Format(line);
            Assert.Contains($"`{line.ToString().Split(' ')[0]}`", events, StringComparison.Ordinal);
        });
    }
}
