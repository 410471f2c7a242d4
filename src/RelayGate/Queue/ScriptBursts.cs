using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>A script that sends much more than it usually does.</summary>
/// <param name="Subscription">Whose mail it was last; null: the uid belongs to none.</param>
/// <param name="Messages">Sent within <paramref name="Window"/>.</param>
/// <param name="Usual">What its busiest hour of the last seven days amounts to in such a time.</param>
public sealed record ScriptBurst(ScriptKey Key, string? Subscription, int Messages, TimeSpan Window, int Usual);

/// <summary>Watches how much each script sends, and tells of a burst once: again only after it has sent less than that for a while.</summary>
/// <remarks>For the writer's thread, after a commit. A restart forgets the last minutes.</remarks>
internal sealed class ScriptBursts(ScriptOptions options, TimeProvider time)
{
    /// <summary>Scripts that are watched at once; beyond that those that sent nothing within the window make room, else a new one is not watched.</summary>
    public const int MaxScripts = 20_000;

    private const int UsualHours = 7 * 24;

    /// <summary>A seek for each hour; the current one and the one before it may be the burst itself.</summary>
    private const string SelectBusiest = """
        with recursive past (hour) as (select ?1 union all select hour + 1 from past where hour < ?2)
        select max((select sum(messages) from script_hour s where s.hour = past.hour and s.uid = ?3 and s.script = ?4)) from past
        """;

    private readonly Dictionary<ScriptKey, Watch> _watches = [];
    private readonly int _minutes = Math.Max(1, (int)options.BurstWindow.TotalMinutes);

    public event Action<ScriptBurst>? Found;

    public void Add(ReadOnlySpan<ScriptSent> sent, StoreConnection connection)
    {
        long minute = time.GetUtcNow().ToUnixTimeSeconds() / 60;
        foreach (ScriptSent script in sent)
        {
            if (Find(script.Key, minute) is not { } watch)
                continue;
            int messages = watch.Add(script.Messages, minute);
            if (messages <= options.BurstMessages)
            {
                watch.IsTold = false;
                continue;
            }
            if (watch.IsTold)
                continue;
            int usual = Usual(script.Key, watch, minute / 60, connection);
            if (messages <= (long)usual * options.BurstFactor)
                continue;
            watch.IsTold = true;
            Found?.Invoke(new ScriptBurst(script.Key, script.Subscription.Length == 0 ? null : script.Subscription, messages, options.BurstWindow, usual));
        }
    }

    private Watch? Find(ScriptKey key, long minute)
    {
        if (_watches.TryGetValue(key, out Watch? known))
            return known;
        if (_watches.Count >= MaxScripts)
        {
            foreach ((ScriptKey old, Watch watch) in _watches)
            {
                if (minute - watch.Last >= _minutes)
                    _watches.Remove(old);
            }
            if (_watches.Count >= MaxScripts)
                return null;
        }
        return _watches[key] = new Watch(_minutes);
    }

    /// <summary>Asked once an hour for each script that sends so much.</summary>
    private int Usual(ScriptKey key, Watch watch, long hour, StoreConnection connection)
    {
        if (watch.UsualOf != hour)
        {
            SqliteStatement select = connection.Prepared(SelectBusiest).Bind(1, hour - UsualHours).Bind(2, hour - 2).Bind(3, key.Uid).Bind(4, key.Script);
            select.Step();
            long busiest = select.Int64(0);
            select.Reset();
            (watch.UsualOf, watch.Usual) = (hour, (int)Math.Min(busiest * _minutes / 60, int.MaxValue));
        }
        return watch.Usual;
    }

    /// <summary>One script's messages by minute.</summary>
    private sealed class Watch(int minutes)
    {
        private readonly int[] _counts = new int[minutes];

        public long Last { get; private set; }

        public bool IsTold { get; set; }

        public long UsualOf { get; set; }

        public int Usual { get; set; }

        /// <returns>Messages within the window.</returns>
        public int Add(int messages, long minute)
        {
            long from = Math.Max(Last + 1, minute - _counts.Length + 1);
            for (long m = from; m <= minute; m++)
                _counts[m % _counts.Length] = 0;
            Last = Math.Max(Last, minute); // A clock set back adds to the minute it was.
            _counts[Last % _counts.Length] += messages;
            return _counts.Sum();
        }
    }
}
