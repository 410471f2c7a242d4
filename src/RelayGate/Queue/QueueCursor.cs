using System.Globalization;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>
/// Walks through the messages of the queue by key, in bounded steps: by subscription in the order of their next attempt and then the held ones,
/// or without one in the order they entered the queue.
/// </summary>
/// <param name="Phase">Which index is walked through.</param>
/// <param name="Subscription">"" in the phase of all.</param>
internal sealed record QueueCursor(QueuePhase Phase, string Subscription, long NextAttempt, long Seq, int Position)
{
    private const string SelectAll = "select seq from message where seq > ? order by seq limit ?";

    internal const string SelectWaiting = """
        select next_attempt, message, position,
          not exists (
            select 1 from recipient f where f.message = r.message and f.next_attempt > ? and (f.next_attempt, f.position) < (r.next_attempt, r.position))
        from recipient r
        where next_attempt is not null and subscription = ? and (next_attempt, message, position) > (?, ?, ?)
        order by next_attempt, message, position limit ?
        """;

    internal const string SelectHeld = "select seq from message where held <> 0 and subscription = ? and seq > ? order by seq limit ?";
    internal const string SelectAllHeld = "select subscription, seq from message where held <> 0 and (subscription, seq) > (?, ?) order by subscription, seq limit ?";

    internal const string SelectFailed =
        "select seq, expires_at from message where expires_at is not null and (expires_at, seq) > (?, ?) order by expires_at, seq limit ?";

    public static QueueCursor All { get; } = new(QueuePhase.All, "", 0, 0, 0);

    public static QueueCursor AllHeld { get; } = new(QueuePhase.AllHeld, "", 0, 0, 0);

    /// <param name="after">Only recipients whose next attempt is later.</param>
    public static QueueCursor Waiting(string subscription, long after = -1) =>
        new(QueuePhase.Waiting, subscription, after, long.MaxValue, int.MaxValue) { After = after };

    /// <summary>All that failed, whatever the subscription.</summary>
    public static QueueCursor Failed { get; } = new(QueuePhase.Failed, "", 0, 0, 0);

    public static QueueCursor Held(string subscription) => new(QueuePhase.Held, subscription, 0, 0, 0);

    /// <summary>Recipients that are due up to here are as if they were not there; not kept in the text of a cursor.</summary>
    private long After { get; init; } = -1;

    /// <summary>Reads the next row ids, each message once (unless it is rescheduled meanwhile), and moves on.</summary>
    /// <param name="limit">Rows to look at.</param>
    /// <returns>Where each message stands and the cursor behind it; the last cursor is null when this phase has ended.</returns>
    public (List<(long Seq, QueueCursor Behind)> Found, QueueCursor? Next) Read(StoreConnection connection, int limit)
    {
        var found = new List<(long, QueueCursor)>();
        QueueCursor behind = this;
        int rows = 0;
        SqliteStatement select = Select(connection, limit);
        while (select.Step())
        {
            rows++;
            switch (Phase)
            {
                case QueuePhase.Waiting:
                    behind = this with { NextAttempt = select.Int64(0), Seq = select.Int64(1), Position = select.Int32(2) };
                    if (select.Int64(3) != 0) // The first of the message: it is counted here and nowhere else.
                        found.Add((behind.Seq, behind));
                    break;
                case QueuePhase.Failed:
                    behind = this with { NextAttempt = select.Int64(1), Seq = select.Int64(0) };
                    found.Add((behind.Seq, behind));
                    break;
                case QueuePhase.AllHeld:
                    behind = this with { Subscription = select.Text(0), Seq = select.Int64(1) };
                    found.Add((behind.Seq, behind));
                    break;
                default:
                    behind = this with { Seq = select.Int64(0) };
                    found.Add((behind.Seq, behind));
                    break;
            }
        }
        return (found, rows == limit ? behind : null);
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(char)Phase}.{NextAttempt}.{Seq}.{Position}.{Subscription}");

    public static QueueCursor? TryParse(string text)
    {
        string[] parts = text.Split('.', 5);
        if (parts.Length != 5 || parts[0].Length != 1 || !Enum.IsDefined((QueuePhase)parts[0][0])
            || !long.TryParse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long next)
            || !long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out long seq)
            || !int.TryParse(parts[3], NumberStyles.None, CultureInfo.InvariantCulture, out int position))
            return null;
        return new QueueCursor((QueuePhase)parts[0][0], parts[4], next, seq, position);
    }

    private SqliteStatement Select(StoreConnection connection, int limit) => Phase switch
    {
        QueuePhase.Waiting => connection.Prepared(SelectWaiting)
            .Bind(1, After).Bind(2, Subscription).Bind(3, NextAttempt).Bind(4, Seq).Bind(5, Position).Bind(6, limit),
        QueuePhase.Held => connection.Prepared(SelectHeld).Bind(1, Subscription).Bind(2, Seq).Bind(3, limit),
        QueuePhase.AllHeld => connection.Prepared(SelectAllHeld).Bind(1, Subscription).Bind(2, Seq).Bind(3, limit),
        QueuePhase.Failed => connection.Prepared(SelectFailed).Bind(1, NextAttempt).Bind(2, Seq).Bind(3, limit),
        _ => connection.Prepared(SelectAll).Bind(1, Seq).Bind(2, limit),
    };
}

/// <summary>The parts of the queue, each with an index of its own. The letters stand in cursors.</summary>
internal enum QueuePhase
{
    /// <summary>All messages by sequence number.</summary>
    All = 'a',

    /// <summary>Those of a subscription that wait for an attempt.</summary>
    Waiting = 'w',

    /// <summary>The held ones of a subscription.</summary>
    Held = 'h',

    /// <summary>All held ones, by subscription.</summary>
    AllHeld = 'H',

    /// <summary>Those that failed, by the time when their content goes (which stands where the next attempt does).</summary>
    Failed = 'f',
}
