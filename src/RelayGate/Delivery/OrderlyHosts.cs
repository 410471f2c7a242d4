using System.Net;

namespace RelayGate.Delivery;

/// <summary>Which hosts reply once to each command, so that a whole transaction may go to them in one flight.</summary>
/// <remarks>
/// In one flight the last reply decides about the message, and nothing in it says so: one reply too many before it, and somebody else's 250 would be
/// taken for it. With DATA the 354 stands between the replies to the envelope and the last one, which proves their order. So a host is first sent mail by DATA,
/// and one that got out of step stays with it for a day.
/// Bounded: the host that is known longest goes first, which costs it one round trip.
/// </remarks>
internal sealed class OrderlyHosts(TimeProvider time)
{
    /// <summary>How long a host that was out of step is sent nothing in one flight. 1 day.</summary>
    public static readonly TimeSpan Distrust = TimeSpan.FromDays(1);

    /// <summary>Hosts that are remembered. 16384.</summary>
    internal const int MaxKnown = 16384;

    private readonly Lock _lock = new();
    private readonly Dictionary<IPEndPoint, long?> _known = []; // When it was out of step; null: it never was.
    private readonly Queue<IPEndPoint> _inOrderOfArrival = [];

    public bool IsOrderly(IPEndPoint host)
    {
        lock (_lock)
            return _known.TryGetValue(host, out long? outOfStep) && outOfStep is null;
    }

    /// <summary>A transaction has ended whose replies were in order.</summary>
    public void KeptStep(IPEndPoint host)
    {
        lock (_lock)
        {
            if (_known.TryGetValue(host, out long? outOfStep) && (outOfStep is null || time.GetElapsedTime(outOfStep.Value) < Distrust))
                return;
            Set(host, null);
        }
    }

    /// <summary>It said what was not due.</summary>
    public void GotOutOfStep(IPEndPoint host)
    {
        lock (_lock)
            Set(host, time.GetTimestamp());
    }

    private void Set(IPEndPoint host, long? outOfStep)
    {
        if (!_known.ContainsKey(host))
        {
            if (_known.Count >= MaxKnown)
                _known.Remove(_inOrderOfArrival.Dequeue());
            _inOrderOfArrival.Enqueue(host);
        }
        _known[host] = outOfStep;
    }
}
