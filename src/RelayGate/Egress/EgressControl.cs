using System.Collections.Immutable;
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
        await _writer.RunAsync(
            context =>
            {
                EgressRows.Save(context, rest.Key, rest);
                AuditRows.Add(context.Connection.Connection, now, by, "rest", $"ip {address}", subscription, "", rest.Until is { } until ? $"until {until.UtcDateTime:yyyy-MM-dd HH:mm} UTC" : "until resume");
                return true;
            },
            cancellationToken,
            _ => _states.Rest(rest));
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
            await _writer.RunAsync(
                context =>
                {
                    EgressRows.Save(context, state.Key, null);
                    AuditRows.Add(context.Connection.Connection, _time.GetUtcNow(), by, "resume", $"ip {state.Key}", subscription, AuditText(state), "");
                    return true;
                },
                cancellationToken,
                _ => _states.End(state.Key));
            _ = WakeAsync(state.Key);
        }
        return states;
    }

    /// <summary>Sets a pace by hand, in place of one for the same pair.</summary>
    /// <returns>False: there are too many.</returns>
    public async Task<bool> SetPaceAsync(EgressPace pace, string? subscription, CancellationToken cancellationToken)
    {
        bool isSet = await _writer.RunAsync(
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
        await ReloadPacesAsync(cancellationToken);
        return isSet;
    }

    /// <summary>Ends a pace set by hand: what was learned holds again.</summary>
    /// <returns>False: there was none.</returns>
    public async Task<bool> CancelPaceAsync(string address, string provider, string? subscription, string by, CancellationToken cancellationToken)
    {
        EgressPace? old = (await ListPacesAsync(cancellationToken)).FirstOrDefault(pace => pace.Address == address && pace.Provider == provider);
        if (old is null)
            return false;
        bool wasThere = await _writer.RunAsync(
            context =>
            {
                bool isGone = EgressRows.Remove(context, address, provider);
                if (isGone)
                    AuditRows.Add(context.Connection.Connection, _time.GetUtcNow(), by, "pace cancel", $"pace {address} {provider}", subscription, old.ToString(), "");
                return isGone;
            },
            cancellationToken);
        await ReloadPacesAsync(cancellationToken);
        WakeAll(old);
        return wasThere;
    }

    /// <summary>The paces set by hand, by address and provider.</summary>
    public async Task<ImmutableArray<EgressPace>> ListPacesAsync(CancellationToken cancellationToken) =>
        [.. await _store.ReadRawAsync(EgressRows.Paces, cancellationToken)];

    private static WaitKey WaitOf(EgressKey key) => key.Provider.Length == 0 ? WaitKey.Ip(key.Address) : WaitKey.Ip(key.Address, key.Provider);

    private static string AuditText(EgressState state) =>
        $"{state.Condition.ToString().ToLowerInvariant()}{(state.Until is { } until ? $" until {until.UtcDateTime:yyyy-MM-dd HH:mm} UTC" : "")}{(state.Why.Length > 0 ? $": {state.Why}" : "")}";

    private async Task ReloadPacesAsync(CancellationToken cancellationToken) => _states.SetPaces(await ListPacesAsync(cancellationToken));

    /// <summary>What waits behind the slots of a pace that has ended goes on.</summary>
    private void WakeAll(EgressPace pace)
    {
        foreach (EgressKey key in _states.KeysOf(pace))
            _ = WakeAsync(key);
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
            await _writer.RunAsync(
                context =>
                {
                    EgressRows.Save(context, key, _states.Find(key));
                    return true;
                },
                CancellationToken.None);
            bool begins = after is { Condition: EgressCondition.Paused } && before is not { Condition: EgressCondition.Paused };
            bool ends = isTaken && after is null && before is { Condition: EgressCondition.Paused };
            if (begins || ends)
                News?.Invoke(new EgressNews(ends ? before! : after!, ends, await WaitingAsync(key, CancellationToken.None)));
            if (after is null)
                await WakeAsync(key);
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

    private async Task WakeAsync(EgressKey key)
    {
        try
        {
            await _waiting.WakeWaitersAsync(WaitOf(key));
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
