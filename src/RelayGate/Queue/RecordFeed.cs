using System.Globalization;
using RelayGate.Core.Mail;

namespace RelayGate.Queue;

/// <summary>The refs of the records that were written or changed last, in the order of the commits, for those who follow the log.</summary>
/// <remarks>
/// Refs are taken at MAIL and committed minutes later, so that their order does not tell what is new. The feed lives in memory and is bounded:
/// who falls further behind, or comes from before a restart, is told of the gap.
/// </remarks>
public sealed class RecordFeed
{
    /// <summary>Refs kept: 16 octets each.</summary>
    public const int Capacity = 16_384;

    private readonly Lock _gate = new();
    private readonly QueueId[] _ring = new QueueId[Capacity];
    private readonly uint _run = (uint)Random.Shared.Next();
    private long _end;

    /// <summary>A cursor behind all that is here.</summary>
    public string End
    {
        get
        {
            lock (_gate)
                return Cursor(_end);
        }
    }

    internal void Add(QueueId id)
    {
        lock (_gate)
            _ring[_end++ % Capacity] = id;
    }

    /// <summary>What came after a cursor: each ref once, where it came first.</summary>
    /// <returns>False when the text is no cursor.</returns>
    internal bool TryRead(string cursor, int max, out List<QueueId> ids, out string next, out bool isGap)
    {
        ids = [];
        next = cursor;
        isGap = false;
        string[] parts = cursor.Split('-');
        if (parts.Length != 2 || !uint.TryParse(parts[0], NumberStyles.AllowHexSpecifier, null, out uint run)
            || !long.TryParse(parts[1], NumberStyles.None, null, out long position))
            return false;
        var known = new HashSet<QueueId>();
        lock (_gate)
        {
            long first = Math.Max(0, _end - Capacity);
            isGap = run != _run || position < first || position > _end;
            if (isGap)
                position = first;
            for (; position < _end && ids.Count < max; position++)
            {
                QueueId id = _ring[position % Capacity];
                if (known.Add(id))
                    ids.Add(id);
            }
        }
        next = Cursor(position);
        return true;
    }

    private string Cursor(long position) => $"{_run:x8}-{position}";
}
