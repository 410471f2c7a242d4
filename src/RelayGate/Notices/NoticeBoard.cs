using System.Threading.Channels;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Telemetry;

namespace RelayGate.Notices;

/// <summary>Where everything that people are to be told of is pinned. Never blocks; what does not fit is dropped and counted.</summary>
public sealed class NoticeBoard(RelayGateMetrics metrics, TimeProvider time)
{
    /// <summary>Notices that may wait to be stored.</summary>
    public const int MaxWaiting = 1024;

    private readonly Channel<RaisedNotice> _raised = Channel.CreateBounded<RaisedNotice>(
        new BoundedChannelOptions(MaxWaiting) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    internal ChannelReader<RaisedNotice> Raised => _raised.Reader;

    private int _crossingsLost = 1; // By the process before this one, perhaps.

    /// <summary>Crossings may be in the store that are not here.</summary>
    internal bool CrossingsLost
    {
        get => Volatile.Read(ref _crossingsLost) != 0;
        set => Volatile.Write(ref _crossingsLost, value ? 1 : 0);
    }

    /// <summary>Pins a notice. Called on any thread, the writer's and sessions' too.</summary>
    /// <returns>False when it was dropped: too many wait.</returns>
    public bool Raise(Notice notice) => Raise(new RaisedNotice(notice, time.GetUtcNow(), null));

    internal bool Raise(RaisedNotice raised)
    {
        metrics.Notices.Increment(NoticeKinds.Word(raised.Notice.Kind));
        if (_raised.Writer.TryWrite(raised))
            return true;
        if (raised.Crossing is null)
            metrics.DroppedNotices.Increment("backlog");
        else
            CrossingsLost = true; // It is read again from the store.
        return false;
    }
}

/// <param name="At">When it happened.</param>
/// <param name="Stored">Completes when it is stored and its mail, if one is due, is in the queue.</param>
internal sealed record RaisedNotice(Notice Notice, DateTimeOffset At, TaskCompletionSource<StoredNotice>? Stored)
{
    /// <summary>The limit that was crossed: the store remembers until it has its notice.</summary>
    public LimitCrossing? Crossing { get; init; }
}

/// <param name="Mails">The mails that were enqueued with it, by receiver.</param>
internal sealed record StoredNotice(string Id, IReadOnlyList<(string Receiver, string Ref)> Mails);
