using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace RelayGate.Telemetry;

/// <summary>The mail log: one line for each event of a message. Never blocks whoever writes to it; lines that do not fit are counted.</summary>
public sealed class MailLog
{
    /// <summary>Events that may wait; a session's share of memory is some hundred octets each.</summary>
    private const int MaxWaiting = 16_384;

    private const int FlushOctets = 32 * 1024;

    private readonly Channel<(DateTimeOffset At, MailEvent Event)> _events;
    private readonly RelayGateMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<MailLog> _logger;
    private readonly MailLogOutput _output;
    private Task _running = Task.CompletedTask;

    public MailLog(RelayGateMetrics metrics, TimeProvider time, ILogger<MailLog> logger, MailLogOutput output)
    {
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _output = output;
        _events = Channel.CreateBounded<(DateTimeOffset, MailEvent)>(
            new BoundedChannelOptions(MaxWaiting) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    }

    public void Write(MailEvent mailEvent)
    {
        if (!_events.Writer.TryWrite((_time.GetUtcNow(), mailEvent)))
            _metrics.DroppedLogLines.Increment();
    }

    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Writes what waits and ends.</summary>
    public async Task StopAsync()
    {
        _events.Writer.TryComplete();
        await _running;
    }

    private async Task RunAsync()
    {
        var line = new StringBuilder();
        while (await _events.Reader.WaitToReadAsync())
        {
            try
            {
                if (_output.Stream is { } stream)
                    await WriteToStreamAsync(stream, line);
                else
                    WriteToLogger(line);
            }
            catch (IOException error) // A closed pipe or a full disk of the log must not stop the mail.
            {
                _metrics.DroppedLogLines.Increment();
                Log.MailLogFailed(_logger, error.Message);
            }
        }
    }

    private async Task WriteToStreamAsync(Stream stream, StringBuilder text)
    {
        text.Clear();
        while (text.Length < FlushOctets && _events.Reader.TryRead(out (DateTimeOffset At, MailEvent Event) next))
        {
            if (_output.ForSystemd)
                text.Append("<6>mail: ");
            else
                text.Append(next.At.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ")).Append(" mail: ");
            next.Event.Format(text);
            text.Append('\n');
        }
        await stream.WriteAsync(Encoding.UTF8.GetBytes(text.ToString()));
        await stream.FlushAsync();
    }

    private void WriteToLogger(StringBuilder text)
    {
        while (_events.Reader.TryRead(out (DateTimeOffset At, MailEvent Event) next))
        {
            if (!_logger.IsEnabled(LogLevel.Information))
                continue;
            next.Event.Format(text.Clear());
            Log.MailEventHappened(_logger, text.ToString());
        }
    }
}

/// <summary>Where the mail log goes: straight to a stream (many lines at once), or else to the host's logger.</summary>
/// <param name="Stream">Null: to the logger.</param>
/// <param name="ForSystemd">Lines begin with a priority in place of a time (sd-daemon(3)).</param>
public sealed record MailLogOutput(Stream? Stream, bool ForSystemd = false);
