using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>A script that sends much more than it usually does.</summary>
/// <param name="Key">With <see cref="ScriptKey.Any"/>: the scripts of a uid together, without those of which it was told already.</param>
/// <param name="Subscription">Whose mail it is; null: the uid belongs to none.</param>
/// <param name="Messages">Sent within <paramref name="Window"/>.</param>
/// <param name="Usual">What its busiest hour of the last seven days amounts to in such a time.</param>
public sealed record ScriptBurst(ScriptKey Key, string? Subscription, int Messages, TimeSpan Window, int Usual);

/// <summary>Watches how much each script sends, and tells of a burst once: again only after it has sent less than that for a while.</summary>
/// <remarks>
/// For the writer's thread, after a commit. Each uid is watched for each subscription apart, since many may share one. A uid is also watched as a
/// whole, so that nobody stays unseen by sending each message under another name. A restart forgets the last minutes.
/// </remarks>
internal sealed class ScriptBursts(ScriptOptions options, TimeProvider time)
{
    /// <summary>Scripts and uids that are watched at once; beyond that a new one is not watched until some have sent nothing within the window.</summary>
    public const int MaxWatched = 20_000;

    private const int UsualHours = 7 * 24;

    /// <summary>A seek for each hour; the current one and the one before it may be the burst itself.</summary>
    private const string SelectBusiest = """
        with recursive past (hour) as (select ?1 union all select hour + 1 from past where hour < ?2)
        select max((select sum(messages) from script_hour s where s.hour = past.hour and s.uid = ?3 and s.script = ?4 and s.subscription = ?5)) from past
        """;

    /// <summary>As above, of all scripts: at most <see cref="ScriptBatch.MaxPerUid"/> rows of each hour, where no others share the uid.</summary>
    private const string SelectBusiestOfUid = """
        with recursive past (hour) as (select ?1 union all select hour + 1 from past where hour < ?2)
        select max((select sum(messages) from script_hour s where s.hour = past.hour and s.uid = ?3 and s.subscription = ?5)) from past
        """;

    private readonly Dictionary<(int Uid, string Subscription), UserWatch> _users = [];
    private readonly int _minutes = Math.Max(1, (int)options.BurstWindow.TotalMinutes);
    private int _watched;
    private long _cleaned;

    public event Action<ScriptBurst>? Found;

    public void Add(ReadOnlySpan<ScriptSent> sent, StoreConnection connection)
    {
        long minute = time.GetUtcNow().ToUnixTimeSeconds() / 60;
        foreach (ScriptSent script in sent)
        {
            if (Find(script, minute) is not { } user)
                continue;
            Watch? own = Find(user, script.Key.Script, minute);
            if (own is not null)
            {
                bool wasTold = own.IsTold;
                Look(own, script, minute, connection);
                if (own.IsTold && !wasTold)
                    user.All.Take(own, script.Messages, minute);
                if (own.IsTold)
                    continue;
            }
            Look(user.All, script with { Key = script.Key with { Script = ScriptKey.Any } }, minute, connection);
        }
    }

    private void Look(Watch watch, in ScriptSent script, long minute, StoreConnection connection)
    {
        int messages = watch.Add(script.Messages, minute);
        if (messages <= options.BurstMessages)
        {
            watch.IsTold = false;
            return;
        }
        if (watch.IsTold)
            return;
        int usual = Usual(script, watch, minute / 60, connection);
        if (messages <= (long)usual * options.BurstFactor)
            return;
        watch.IsTold = true;
        Found?.Invoke(new ScriptBurst(script.Key, script.Subscription.Length == 0 ? null : script.Subscription, messages, options.BurstWindow, usual));
    }

    private UserWatch? Find(in ScriptSent script, long minute)
    {
        if (_users.TryGetValue((script.Key.Uid, script.Subscription), out UserWatch? known))
            return known;
        return HasRoom(minute) ? _users[(script.Key.Uid, script.Subscription)] = new UserWatch(new Watch(_minutes)) : null;
    }

    /// <returns>Null: it is watched with all of its uid alone.</returns>
    private Watch? Find(UserWatch user, string script, long minute)
    {
        if (user.Scripts.TryGetValue(script, out Watch? known))
            return known;
        return user.Scripts.Count < ScriptBatch.MaxPerUid && HasRoom(minute) ? user.Scripts[script] = new Watch(_minutes) : null;
    }

    /// <summary>Makes room for one more, at most once a minute by a look at all.</summary>
    private bool HasRoom(long minute)
    {
        if (_watched >= MaxWatched && _cleaned != minute)
        {
            _cleaned = minute;
            foreach (((int, string) key, UserWatch user) in _users)
            {
                foreach ((string script, Watch watch) in user.Scripts)
                {
                    if (IsIdle(watch) && user.Scripts.Remove(script))
                        _watched--;
                }
                if (user.Scripts.Count == 0 && IsIdle(user.All) && _users.Remove(key))
                    _watched--;
            }
        }
        if (_watched >= MaxWatched)
            return false;
        _watched++;
        return true;

        bool IsIdle(Watch watch) => minute - watch.Last >= _minutes;
    }

    /// <summary>Asked once an hour for each that sends so much.</summary>
    private int Usual(in ScriptSent script, Watch watch, long hour, StoreConnection connection)
    {
        if (watch.UsualOf != hour)
        {
            SqliteStatement select = connection.Prepared(script.Key.Script == ScriptKey.Any ? SelectBusiestOfUid : SelectBusiest)
                .Bind(1, hour - UsualHours).Bind(2, hour - 2).Bind(3, script.Key.Uid).Bind(4, script.Key.Script).Bind(5, script.Subscription);
            select.Step();
            long busiest = select.Int64(0);
            select.Reset();
            (watch.UsualOf, watch.Usual) = (hour, (int)Math.Min(busiest * _minutes / 60, int.MaxValue));
        }
        return watch.Usual;
    }

    /// <summary>One uid's mail for one subscription.</summary>
    private sealed class UserWatch(Watch all)
    {
        /// <summary>Of all scripts of which nothing was told.</summary>
        public Watch All => all;

        public Dictionary<string, Watch> Scripts { get; } = [];
    }

    /// <summary>Messages by minute.</summary>
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
            MoveTo(minute);
            _counts[Last % _counts.Length] += messages;
            return _counts.Sum();
        }

        /// <summary>Takes out what one of those that it adds up has sent; the last messages are not in it yet.</summary>
        public void Take(Watch other, int last, long minute)
        {
            MoveTo(minute);
            other._counts[other.Last % _counts.Length] -= last;
            for (int i = 0; i < _counts.Length; i++)
                _counts[i] = Math.Max(0, _counts[i] - other._counts[i]);
            other._counts[other.Last % _counts.Length] += last;
        }

        private void MoveTo(long minute)
        {
            long from = Math.Max(Last + 1, minute - _counts.Length + 1);
            for (long m = from; m <= minute; m++)
                _counts[m % _counts.Length] = 0;
            Last = Math.Max(Last, minute); // A clock set back adds to the minute it was.
        }
    }
}
