using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Queue;

namespace RelayGate.Egress;

/// <summary>Says for each message whether it may leave from its address to a provider now, and learns from what becomes of it. In memory, bounded.</summary>
/// <remarks>
/// An address that a provider refuses keeps off it for a time; then one message goes as a probe, and what becomes of it ends the pause or renews it.
/// "Too fast" halves pace and connections, and success raises them again, step by step. What has to wait is put off, and uses no connection meanwhile.
/// </remarks>
public sealed class EgressStates(TimeProvider time)
{
    /// <summary>Messages a minute at most that a pace may say.</summary>
    public const int MaxPace = 10_000;

    /// <summary>Pairs of address and provider in memory; beyond that those without a state are not followed.</summary>
    public const int MaxPairs = 65_536;

    /// <summary>Slots of all pairs; beyond that who has to wait is given none, and comes back in about an hour.</summary>
    public const int MaxSlots = 262_144;

    private static readonly TimeSpan Horizon = TimeSpan.FromHours(1); // Slots are given for so long ahead.
    private static readonly TimeSpan BetweenRemovals = TimeSpan.FromSeconds(1); // It looks at all pairs, while every delivery waits.
    private static readonly TimeSpan Forgotten = TimeSpan.FromHours(24); // A pause that nothing was sent after is over in the end.
    private static readonly TimeSpan Step = TimeSpan.FromMinutes(1); // Between two raises of a slowed pace.
    private static readonly TimeSpan Recheck = TimeSpan.FromHours(4); // Who rests without end is looked at again after so long.

    private readonly Lock _gate = new();
    private readonly Dictionary<EgressKey, EgressPair> _pairs = [];
    private readonly Dictionary<IPAddress, EgressState> _rests = [];
    private readonly SlotBudget _slots = new(MaxSlots);
    private DateTimeOffset _idleRemovedAt = DateTimeOffset.MinValue;
    private ImmutableDictionary<(string, string), EgressPace> _paces = ImmutableDictionary<(string, string), EgressPace>.Empty;

    /// <summary>A state began, changed or ended (null) by a reply or by time; not by hand. The last is whether a message was taken. Raised outside of all locks; must not block.</summary>
    internal event Action<EgressKey, EgressState?, EgressState?, bool>? Changed;

    /// <summary>Takes what the store has.</summary>
    internal void Load(IEnumerable<EgressState> states, IEnumerable<EgressPace> paces)
    {
        lock (_gate)
        {
            foreach (EgressState state in states)
            {
                if (state.Condition == EgressCondition.Resting)
                    _rests[state.Key.Address] = state;
                else
                    _pairs[state.Key] = new EgressPair(state.Key, _slots) { State = state };
            }
            _paces = paces.ToImmutableDictionary(static pace => (pace.Address, pace.Provider));
        }
    }

    /// <summary>Asks for a message whether it may go now.</summary>
    /// <param name="slot">Its next attempt as it was stored: the slot that it was given before, perhaps.</param>
    /// <param name="wait">Why it may not.</param>
    /// <returns>Null: put it off. Else to be given back by <see cref="Release"/>.</returns>
    internal EgressGrant? Ask(EgressKey key, DateTimeOffset slot, out PutOff? wait)
    {
        IPAddress address = key.Address;
        EgressState? before;
        EgressGrant? grant;
        lock (_gate)
        {
            DateTimeOffset now = time.GetUtcNow();
            if (_rests.Count > 0 && _rests.TryGetValue(address, out EgressState? rest) && (rest.Until is null || now < rest.Until))
            {
                DateTimeOffset look = now + Recheck * (0.9 + 0.2 * Random.Shared.NextDouble());
                DateTimeOffset end = rest.Until is { } until ? until + Spread(10) : DateTimeOffset.MaxValue;
                wait = new PutOff(WaitKey.Ip(address), end < look ? end : look, "4.3.2", $"The address {SystemChoice.NameOf(address)} rests{(rest.Why.Length > 0 ? $": {rest.Why}" : "")}", WaitCause.ByHand) { IsOpenEnded = rest.Until is null };
                return null;
            }
            EgressPair pair = Pair(key, now);
            before = pair.State;
            if (before is { Condition: EgressCondition.Slowed } && before.Until <= now)
                pair.State = null; // Ends by itself.
            wait = WhyNot(pair, slot, now);
            grant = null;
            if (wait is null)
            {
                pair.Count(now);
                pair.InFlight++;
                bool isProbe = pair.State is { Condition: EgressCondition.Paused };
                pair.IsProbing |= isProbe;
                grant = new EgressGrant(pair, now, isProbe);
            }
            if (ReferenceEquals(before, pair.State))
                return grant;
        }
        Changed?.Invoke(key, before, null, false);
        return grant;
    }

    /// <summary>The provider has refused the address, and not the message.</summary>
    /// <param name="reply">What it said.</param>
    /// <returns>For what, and until when, those wait that it was said of.</returns>
    internal (WaitKey For, DateTimeOffset Until) Refused(EgressGrant grant, ReplyFinding finding, string reply, string subscription)
    {
        EgressPair pair = grant.Pair;
        EgressState? before;
        EgressState after;
        DateTimeOffset until;
        lock (_gate)
        {
            DateTimeOffset now = time.GetUtcNow();
            before = pair.State;
            // What was on its way when the state began has nothing new to say.
            bool isNews = before is null || grant.IsProbe || grant.At > before.Since || (before.Condition == EgressCondition.Slowed && PauseSchedule.IsPause(finding.Class));
            after = isNews ? Worse(pair, finding, reply, subscription, now) : before!;
            pair.State = after;
            until = after.Condition == EgressCondition.Paused
                ? after.Until!.Value + Spread(10)
                : Later(pair.Reserve(Limits(pair)!.Value.PerMinute, now, now + Horizon), now);
        }
        if (!ReferenceEquals(before, after))
            Changed?.Invoke(pair.Key, before, after, false);
        return (WaitKey.Ip(pair.Key.Address, pair.Key.Provider), until);
    }

    /// <summary>The provider takes mail of the address.</summary>
    internal void Succeeded(EgressGrant grant)
    {
        EgressPair pair = grant.Pair;
        if (pair.State is null)
            return; // As nearly always.
        EgressState? before;
        EgressState? after;
        lock (_gate)
        {
            DateTimeOffset now = time.GetUtcNow();
            before = pair.State;
            if (before is null || grant.At < before.Since || (before.Condition == EgressCondition.Paused && !grant.IsProbe))
                return;
            after = before.Condition == EgressCondition.Slowed ? Better(pair, before, now) : null;
            pair.State = after;
        }
        if (!ReferenceEquals(before, after))
            Changed?.Invoke(pair.Key, before, after, true);
    }

    /// <summary>Whether the provider has refused the address since the message was let go.</summary>
    internal bool IsStopped(EgressGrant grant)
    {
        lock (_gate)
            return grant.Pair.State is { } state && state.Since >= grant.At;
    }

    /// <summary>The message is through, whatever became of it.</summary>
    internal void Release(EgressGrant grant)
    {
        lock (_gate)
        {
            grant.Pair.InFlight--;
            if (grant.IsProbe)
                grant.Pair.IsProbing = false;
        }
    }

    /// <summary>No mail leaves from an address.</summary>
    internal void Rest(EgressState rest)
    {
        lock (_gate)
            _rests[rest.Key.Address] = rest;
    }

    /// <summary>Ends a state by hand.</summary>
    /// <returns>It; null: there was none.</returns>
    internal EgressState? End(EgressKey key)
    {
        lock (_gate)
        {
            if (key.Provider.Length == 0)
                return _rests.Remove(key.Address, out EgressState? rest) ? rest : null;
            if (!_pairs.TryGetValue(key, out EgressPair? pair))
                return null;
            EgressState? state = pair.State;
            pair.State = null;
            pair.IsProbing = false;
            return state;
        }
    }

    /// <summary>What is set by hand from now on.</summary>
    internal void SetPaces(IEnumerable<EgressPace> paces)
    {
        lock (_gate)
        {
            _paces = paces.ToImmutableDictionary(static pace => (pace.Address, pace.Provider));
            foreach (EgressPair pair in _pairs.Values)
                pair.ForgetSlots();
        }
    }

    /// <summary>The state of a pair or of a whole address; null: none.</summary>
    public EgressState? Find(EgressKey key)
    {
        lock (_gate)
            return key.Provider.Length == 0 ? _rests.GetValueOrDefault(key.Address) : _pairs.GetValueOrDefault(key)?.State;
    }

    /// <summary>Local addresses that anything is known against.</summary>
    public IReadOnlyCollection<IPAddress> Addresses()
    {
        lock (_gate)
            return [.. _rests.Keys.Concat(_pairs.Values.Where(static pair => pair.State is not null).Select(static pair => pair.Key.Address)).Distinct()];
    }

    /// <summary>All states, those of one address, in the order of address and provider.</summary>
    public ImmutableArray<EgressState> All(IPAddress? address = null)
    {
        lock (_gate)
        {
            return
            [
                .. _rests.Values.Concat(_pairs.Values.Select(static pair => pair.State).OfType<EgressState>())
                    .Where(state => address is null || state.Key.Address.Equals(address))
                    .OrderBy(static state => state.Key.Address.ToString(), StringComparer.Ordinal).ThenBy(static state => state.Key.Provider, StringComparer.Ordinal),
            ];
        }
    }

    /// <summary>The paces set by hand that hold for an address now, in the order of address and provider.</summary>
    public ImmutableArray<EgressPace> PacesOf(IPAddress address)
    {
        string name = address.ToString();
        DateTimeOffset now = time.GetUtcNow();
        lock (_gate)
        {
            return
            [
                .. _paces.Values.Where(pace => (pace.Address == EgressPace.Any || pace.Address == name) && !(pace.Until <= now))
                    .OrderBy(static pace => pace.Address, StringComparer.Ordinal).ThenBy(static pace => pace.Provider, StringComparer.Ordinal),
            ];
        }
    }

    /// <summary>Whether something was sent at a pair a short time ago, or is known against it.</summary>
    internal bool IsInUse(EgressKey key)
    {
        lock (_gate)
            return _pairs.ContainsKey(key);
    }

    /// <summary>Pairs in use that a pace set by hand holds for.</summary>
    internal ImmutableArray<EgressKey> KeysOf(EgressPace pace)
    {
        lock (_gate)
        {
            return [.. _pairs.Keys.Where(pace.IsFor)];
        }
    }

    /// <summary>Ends what is over, and forgets pairs that nothing is sent to.</summary>
    /// <returns>Paces set by hand that have ended.</returns>
    internal ImmutableArray<EgressPace> Sweep()
    {
        var ended = new List<EgressState>();
        ImmutableArray<EgressPace> paces;
        lock (_gate)
        {
            DateTimeOffset now = time.GetUtcNow();
            foreach (EgressState rest in _rests.Values.Where(rest => rest.Until <= now).ToArray())
            {
                _rests.Remove(rest.Key.Address);
                ended.Add(rest);
            }
            foreach (EgressPair pair in _pairs.Values)
            {
                pair.Trim(now);
                if (pair.State is not { } state || now < state.Until + (state.Condition == EgressCondition.Paused ? Forgotten : TimeSpan.Zero))
                    continue;
                pair.State = null;
                ended.Add(state);
            }
            RemoveIdle(now);
            paces = [.. _paces.Values.Where(pace => pace.Until <= now)];
        }
        foreach (EgressState state in ended)
            Changed?.Invoke(state.Key, state, null, false);
        return paces;
    }

    private PutOff? WhyNot(EgressPair pair, DateTimeOffset slot, DateTimeOffset now)
    {
        if (pair.State is { Condition: EgressCondition.Paused } pause)
        {
            if (now < pause.Until)
                return Wait(pair, pause.Until.Value + Spread(10), "4.7.1", $"{pair.Key} is paused until {pause.Until.Value.UtcDateTime:yyyy-MM-dd HH:mm} UTC: {Reason(pause)}");
            return pair.IsProbing ? Wait(pair, now + TimeSpan.FromMinutes(1) + Spread(4), "4.7.1", $"{pair.Key} was paused, and one message is tried first: {Reason(pause)}") : null;
        }
        if (Limits(pair) is not var (perMinute, connections))
            return null;
        if (pair.InFlight >= connections)
        {
            pair.GiveBack(slot.ToUnixTimeMilliseconds());
            return Wait(pair, Later(pair.Reserve(perMinute, now, now + Horizon), now), "4.4.5", $"{pair.Key} has all {connections} connections in use that its pace allows");
        }
        return pair.Take(perMinute, slot.ToUnixTimeMilliseconds(), now, now + Horizon) is { } at
            ? Wait(pair, Later(at, now), "4.4.5", $"{pair.Key} goes at {perMinute} messages a minute")
            : null;
    }

    /// <summary>
    /// Why it is paused, for senders whoever they are. The reply itself was said to somebody's message, and is for administrators; so is what stands
    /// behind the path of a page.
    /// </summary>
    private static string Reason(EgressState pause)
    {
        string by = pause.List is { } list ? $" by {list}" : "";
        string see = pause.Url?.Split('?', '#')[0] is { } page && !page.Contains('@', StringComparison.Ordinal) ? $", see {page}" : "";
        return $"{ReplyClassNames.NameOf(pause.Class)}{by}{see}";
    }

    private (int PerMinute, int Connections)? Limits(EgressPair pair)
    {
        if (_paces.Count > 0 && PaceOf(pair.Key) is { } pace)
            return (pace.PerMinute, pace.Connections ?? int.MaxValue);
        return pair.State is { Condition: EgressCondition.Slowed } slowed ? (slowed.PerMinute!.Value, slowed.Connections ?? int.MaxValue) : null;
    }

    /// <summary>The most exact one that holds now.</summary>
    private EgressPace? PaceOf(EgressKey key)
    {
        string address = key.Address.ToString();
        DateTimeOffset now = time.GetUtcNow();
        foreach ((string, string) name in ((string, string)[])[(address, key.Provider), (address, EgressPace.Any), (EgressPace.Any, key.Provider), (EgressPace.Any, EgressPace.Any)])
        {
            if (_paces.TryGetValue(name, out EgressPace? pace) && (pace.Until is null || now < pace.Until))
                return pace;
        }
        return null;
    }

    private static EgressState Worse(EgressPair pair, ReplyFinding finding, string reply, string subscription, DateTimeOffset now)
    {
        EgressState? before = pair.State;
        bool isPause = PauseSchedule.IsPause(finding.Class);
        int repetition = before is not null && (before.Condition == EgressCondition.Paused) == isPause ? before.Repetition + 1 : 1;
        TimeSpan length = finding.Pause ?? PauseSchedule.LengthOf(finding.Class, repetition, Random.Shared.NextDouble());
        var state = new EgressState(pair.Key, isPause ? EgressCondition.Paused : EgressCondition.Slowed, finding.Class, now, now + length, repetition, reply)
        {
            List = finding.List,
            Url = finding.Url,
            Subscription = subscription,
        };
        pair.ForgetSlots();
        if (isPause)
            return state;
        int pace = before?.PerMinute ?? pair.Observed(now);
        pair.RaisedAt = now;
        return state with
        {
            PerMinute = Math.Clamp(pace / 2, 1, MaxPace),
            Connections = Math.Max(1, (before?.Connections ?? pair.InFlight) / 2),
            Before = before?.Before ?? Math.Clamp(pace, 2, MaxPace),
        };
    }

    /// <summary>A tenth of the old pace more, and one connection, for each minute with a success.</summary>
    private static EgressState? Better(EgressPair pair, EgressState slowed, DateTimeOffset now)
    {
        if (now - pair.RaisedAt < Step)
            return slowed;
        pair.RaisedAt = now;
        int pace = slowed.PerMinute!.Value + Math.Max(1, slowed.Before!.Value / 10);
        return pace >= slowed.Before ? null : slowed with { PerMinute = pace, Connections = slowed.Connections + 1 };
    }

    private static PutOff Wait(EgressPair pair, DateTimeOffset until, string status, string text) => new(
        WaitKey.Ip(pair.Key.Address, pair.Key.Provider), until, status, text, pair.State is { Condition: EgressCondition.Paused } ? WaitCause.Paused : WaitCause.Pace)
    {
        Class = pair.State?.Class ?? ReplyClass.None,
    };

    /// <summary>Beyond the horizon nobody has a slot: about an hour, not all at once.</summary>
    private static DateTimeOffset Later(DateTimeOffset slot, DateTimeOffset now) => slot <= now + Horizon ? slot : now + Horizon * (0.9 + 0.4 * Random.Shared.NextDouble());

    private static TimeSpan Spread(double minutes) => TimeSpan.FromMinutes(minutes * Random.Shared.NextDouble());

    private EgressPair Pair(EgressKey key, DateTimeOffset now)
    {
        if (_pairs.TryGetValue(key, out EgressPair? pair))
            return pair;
        pair = new EgressPair(key, _slots) { LastUsed = now };
        if (_pairs.Count >= MaxPairs && (now - _idleRemovedAt).Duration() >= BetweenRemovals)
            RemoveIdle(now);
        if (_pairs.Count < MaxPairs)
            _pairs.Add(key, pair);
        return pair; // Else nobody meets it again, and what it learns is lost.
    }

    private void RemoveIdle(DateTimeOffset now)
    {
        _idleRemovedAt = now;
        foreach (EgressPair pair in _pairs.Values)
        {
            if (!pair.IsIdle(now))
                continue;
            pair.ForgetSlots();
            _pairs.Remove(pair.Key);
        }
    }
}

/// <summary>A message may go.</summary>
/// <param name="At">Since when.</param>
/// <param name="IsProbe">The first after a pause.</param>
internal readonly record struct EgressGrant(EgressPair Pair, DateTimeOffset At, bool IsProbe);
