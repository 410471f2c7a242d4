using System.Collections.Immutable;
using System.Data.Common;
using System.Net;
using Microsoft.Extensions.Logging;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Egress;

/// <summary>Keeps the states of local addresses in the store, wakes what waits for them, and does what people order.</summary>
public sealed class EgressControl : IDisposable
{
    /// <summary>Recipients that are counted at most, of those that wait.</summary>
    public const int MaxCounted = 10_000;

    /// <summary>Paces set by hand at most.</summary>
    public const int MaxPaces = 1000;

    private static readonly TimeSpan SweepInterval = TimeSpan.FromMinutes(1);

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly WaitingMail _waiting;
    private readonly EgressStates _states;
    private readonly TimeProvider _time;
    private readonly ILogger<EgressControl> _logger;
    private ITimer? _timer;

    public EgressControl(SqliteRelayStore store, QueueWriter writer, WaitingMail waiting, EgressStates states, TimeProvider time, ILogger<EgressControl> logger)
    {
        _store = store;
        _writer = writer;
        _waiting = waiting;
        _states = states;
        _time = time;
        _logger = logger;
        states.Changed += (key, before, after, isTaken) => _ = FollowAsync(key, before, after, isTaken);
    }

    /// <summary>A provider began to refuse an address, or takes its mail again. Must not block.</summary>
    public event Action<EgressNews>? News;

    /// <summary>Reads what the run before knew. Before the first delivery.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        (List<EgressState> states, List<EgressPace> paces) =
            await _store.ReadRawAsync(static connection => (EgressRows.States(connection), EgressRows.Paces(connection)), cancellationToken);
        _states.Load(states, paces);
        _timer = _time.CreateTimer(_ => _ = SweepAsync(), null, SweepInterval, SweepInterval);
    }

    public void Dispose() => _timer?.Dispose();

    /// <summary>All states, for the metric.</summary>
    public IEnumerable<(string Address, string Provider, int State)> Numbers() =>
        _states.All().Select(static state => (state.Key.Address.ToString(), state.Key.Provider, (int)state.Condition));

    /// <summary>Recipients that wait for an address or for one pair: at most <see cref="MaxCounted"/>.</summary>
    public Task<int> WaitingAsync(EgressKey key, CancellationToken cancellationToken) => _waiting.CountAsync(WaitOf(key), MaxCounted, cancellationToken);

    /// <summary>Recipients that wait for an address at the provider of a pace set by hand, or at all: at most <see cref="MaxCounted"/>.</summary>
    public Task<int> WaitingAsync(IPAddress address, EgressPace pace, CancellationToken cancellationToken) => pace.Provider == EgressPace.Any
        ? _waiting.CountAtProvidersAsync(address, MaxCounted, cancellationToken)
        : _waiting.CountAsync(WaitKey.Ip(address, pace.Provider), MaxCounted, cancellationToken);

    /// <summary>Lets no mail leave from an address.</summary>
    /// <param name="length">Null: until it is resumed.</param>
    public async Task<EgressState> RestAsync(IPAddress address, TimeSpan? length, string? reason, string? subscription, string by, CancellationToken cancellationToken)
    {
        DateTimeOffset now = _time.GetUtcNow();
        var rest = new EgressState(new EgressKey(address, ""), EgressCondition.Resting, default, now, now + length, 1, reason ?? "") { By = by };
        await OrderAsync(
            rest.Key,
            rest,
            db => AuditRows.Add(db, now, by, "rest", $"ip {rest.Key}", subscription, "", rest.Until is { } until ? $"until {until.UtcDateTime:yyyy-MM-dd HH:mm} UTC" : "until resume"),
            () => _states.Rest(rest),
            cancellationToken);
        return rest;
    }

    /// <summary>Ends what keeps mail of an address back, and has it go on: one provider, or its rest and all providers.</summary>
    /// <param name="provider">Null: everything.</param>
    /// <returns>What was ended.</returns>
    public async Task<ImmutableArray<EgressState>> ResumeAsync(IPAddress address, string? provider, string? subscription, string by, CancellationToken cancellationToken)
    {
        ImmutableArray<EgressState> states = [.. _states.All(address).Where(state => provider is null || state.Key.Provider == provider)];
        foreach (EgressState state in states)
        {
            await OrderAsync(
                state.Key,
                null,
                db => AuditRows.Add(db, _time.GetUtcNow(), by, "resume", $"ip {state.Key}", subscription, AuditText(state), ""),
                () => _states.End(state.Key),
                cancellationToken);
            _ = WakeAsync(WaitOf(state.Key));
        }
        return states;
    }

    /// <summary>Sets a pace by hand, in place of one for the same pair. What waits behind the slots of the pace of before goes on by the new one.</summary>
    /// <returns>False: there are too many.</returns>
    public Task<bool> SetPaceAsync(EgressPace pace, string? subscription, CancellationToken cancellationToken) => ChangePacesAsync(
        pace,
        context =>
        {
            List<EgressPace> all = EgressRows.Paces(context.Connection);
            EgressPace? old = all.Find(other => other.Address == pace.Address && other.Provider == pace.Provider);
            if (old is null && all.Count >= MaxPaces)
                return false;
            EgressRows.Save(context, pace);
            AuditRows.Add(context.Connection.Connection, pace.Since, pace.By, "pace set", $"pace {pace.Address} {pace.Provider}", subscription, old?.ToString() ?? "",
                $"{pace}{(pace.Reason is { } reason ? $": {reason}" : "")}");
            return true;
        },
        cancellationToken);

    /// <summary>Ends a pace set by hand: what was learned holds again.</summary>
    /// <returns>False: there was none.</returns>
    public async Task<bool> CancelPaceAsync(string address, string provider, string? subscription, string by, CancellationToken cancellationToken)
    {
        EgressPace? old = (await ListPacesAsync(cancellationToken)).FirstOrDefault(pace => pace.Address == address && pace.Provider == provider);
        if (old is null)
            return false;
        return await ChangePacesAsync(
            old,
            context =>
            {
                bool isGone = EgressRows.Remove(context, address, provider);
                if (isGone)
                    AuditRows.Add(context.Connection.Connection, _time.GetUtcNow(), by, "pace cancel", $"pace {address} {provider}", subscription, old.ToString(), "");
                return isGone;
            },
            cancellationToken);
    }

    /// <summary>The paces set by hand, by address and provider.</summary>
    public async Task<ImmutableArray<EgressPace>> ListPacesAsync(CancellationToken cancellationToken) =>
        [.. await _store.ReadRawAsync(EgressRows.Paces, cancellationToken)];

    private static WaitKey WaitOf(EgressKey key) => key.Provider.Length == 0 ? WaitKey.Ip(key.Address) : WaitKey.Ip(key.Address, key.Provider);

    private static string AuditText(EgressState state) =>
        $"{state.Condition.ToString().ToLowerInvariant()}{(state.Until is { } until ? $" until {until.UtcDateTime:yyyy-MM-dd HH:mm} UTC" : "")}{(state.Why.Length > 0 ? $": {state.Why}" : "")}";

    /// <summary>
    /// Carries out an order about one state: durable first, then in memory. What a reply began or time ended in between has been stored as it was before
    /// the order, so it is stored once more.
    /// </summary>
    private async Task OrderAsync(EgressKey key, EgressState? state, Action<DbConnection> audit, Action change, CancellationToken cancellationToken)
    {
        await _writer.RunAsync(
            context =>
            {
                EgressRows.Save(context, key, state);
                audit(context.Connection.Connection);
                return true;
            },
            cancellationToken,
            _ => change());
        await SaveAsync(key);
    }

    /// <summary>Stores a state as it is by then.</summary>
    private async Task SaveAsync(EgressKey key) => await _writer.RunAsync(
        context =>
        {
            EgressRows.Save(context, key, _states.Find(key));
            return true;
        },
        CancellationToken.None);

    /// <summary>Changes the paces set by hand, in memory in the order of the commits, and wakes what waits behind slots that do not hold any more.</summary>
    /// <param name="pace">The one that is set or ended.</param>
    /// <param name="change">False: nothing is changed.</param>
    private async Task<bool> ChangePacesAsync(EgressPace pace, Func<WriteContext, bool> change, CancellationToken cancellationToken)
    {
        List<EgressPace>? paces = await _writer.RunAsync(
            context => change(context) ? EgressRows.Paces(context.Connection) : null,
            cancellationToken,
            changed =>
            {
                if (changed is not null)
                    _states.SetPaces(changed);
            });
        if (paces is not null)
            _ = WakeAllAsync(pace);
        return paces is not null;
    }

    /// <summary>What waits at the pairs of a pace goes on: those in use, and those that only the store knows since the last start.</summary>
    private async Task WakeAllAsync(EgressPace pace)
    {
        foreach (EgressKey key in _states.KeysOf(pace))
            await WakeAsync(WaitOf(key));
        try
        {
            for (WaitKey? key = null; await _waiting.NextAsync("ip", key, CancellationToken.None) is { } next; key = next)
            {
                if (next.PairOf is var (address, provider) && pace.IsFor(new EgressKey(address, provider)) && !_states.IsInUse(new EgressKey(address, provider)))
                    await WakeAsync(next);
            }
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.EgressStateFault(_logger, e, "paces"); // What waits is looked at when its time comes.
        }
    }

    private async Task SweepAsync()
    {
        try
        {
            foreach (EgressPace pace in _states.Sweep())
                await CancelPaceAsync(pace.Address, pace.Provider, null, AuditRows.Gateway, CancellationToken.None);
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.EgressStateFault(_logger, e, "paces");
        }
    }

    /// <summary>After a change: it is stored as it is by then, people are told, and what waits goes on when it has ended.</summary>
    private async Task FollowAsync(EgressKey key, EgressState? before, EgressState? after, bool isTaken)
    {
        try
        {
            await SaveAsync(key);
            bool begins = after is { Condition: EgressCondition.Paused } && before is not { Condition: EgressCondition.Paused };
            bool ends = isTaken && after is null && before is { Condition: EgressCondition.Paused };
            if (begins || ends)
                News?.Invoke(new EgressNews(ends ? before! : after!, ends, await WaitingAsync(key, CancellationToken.None)));
            if (after is null)
                await WakeAsync(WaitOf(key));
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.EgressStateFault(_logger, e, key.ToString());
        }
    }

    private async Task WakeAsync(WaitKey key)
    {
        try
        {
            await _waiting.WakeWaitersAsync(key);
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.EgressStateFault(_logger, e, key.ToString()); // What waits is looked at when its time comes.
        }
    }
}
