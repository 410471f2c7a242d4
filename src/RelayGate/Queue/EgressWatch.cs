using System.Net;
using Microsoft.Extensions.Logging;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>An address that mail leaves from has gone from this host, or is back.</summary>
/// <param name="Whose">Who leaves from it, for people: <c>subscription acme</c>; null: not known.</param>
/// <param name="Since">Since when it was missing.</param>
public sealed record AddressNews(IPAddress Address, bool IsBack, string? Whose, DateTimeOffset Since);

/// <summary>An address that mail leaves from, and who does.</summary>
/// <param name="Whose">For people.</param>
public sealed record AddressInUse(IPAddress Address, string Whose);

/// <summary>Looks whether the addresses that mail leaves from are on this host: all of them each minute, missing ones every five seconds.</summary>
/// <remarks>
/// When one has gone it tells once, also over a restart; when it is back, it tells and has the mail go on that waited for it; so does mail that was
/// accepted without an address, when there is one for it. Writes when
/// each was last used. A round that fails is logged, and the next one goes on.
/// </remarks>
public sealed class EgressWatch(
    LocalAddresses local, SqliteRelayStore store, QueueWriter writer, WaitingMail waiting, Func<CancellationToken, Task<IReadOnlyList<AddressInUse>>> inUse,
    EgressLookup egress, TimeProvider time, ILogger<EgressWatch> logger) : IDisposable
{
    /// <summary>Between two looks for missing addresses. 5 s.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private const int RoundsOfAll = 12; // Between two looks at all addresses, and two writings of uses: a minute.

    private readonly BackgroundLoop _loop = new();
    private int _lookAgain;
    private Dictionary<IPAddress, string> _whose = [];
    private Dictionary<IPAddress, DateTimeOffset> _told = []; // Missing, as it is stored.

    /// <summary>An address has gone, or is back. Must not block.</summary>
    public event Action<AddressNews>? Changed;

    /// <summary>Looks at all addresses before mail is attempted, and begins the rounds.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await RunOnceAsync(async () =>
        {
            _told = (await store.ReadRawAsync(static connection => EgressUseRows.ReadMissing(connection, LocalAddresses.MaxMissing), cancellationToken))
                .ToDictionary(static row => row.Address, static row => row.Since);
            foreach ((IPAddress address, DateTimeOffset since) in _told)
                local.Remember(address, since);
            await LookAtAllAsync(cancellationToken);
        });
        _loop.Start(RunAsync);
    }

    /// <summary>Who leaves from where may have changed: the next round looks at all addresses. Never blocks.</summary>
    public void LookAgain() => Volatile.Write(ref _lookAgain, 1);

    /// <summary>Ends the rounds and writes what is left. While the writer still runs.</summary>
    public async Task StopAsync()
    {
        await _loop.StopAsync(CancellationToken.None);
        await RunOnceAsync(() => SaveUsesAsync(CancellationToken.None));
    }

    public void Dispose() => _loop.Dispose();

    /// <summary>One round, and with it all that became missing or was found since the last one.</summary>
    /// <param name="all">Whether every address is looked at, not the missing ones alone.</param>
    internal async Task LookAsync(bool all, CancellationToken cancellationToken)
    {
        if (all)
        {
            await LookAtAllAsync(cancellationToken);
            await SaveUsesAsync(cancellationToken);
            return;
        }
        await TellAsync([.. local.Missing.Where(local.Check)], cancellationToken);
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            for (int round = 1; await timer.WaitForNextTickAsync(_loop.Stopping); round++)
            {
                bool all = Interlocked.Exchange(ref _lookAgain, 0) != 0 || round % RoundsOfAll == 0;
                await RunOnceAsync(() => LookAsync(all, _loop.Stopping));
            }
        }
        catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    private async Task RunOnceAsync(Func<Task> round)
    {
        try
        {
            await round();
        }
        catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
        {
            // Stopped.
        }
        catch (Exception e)
        {
            Log.UpkeepFailed(logger, e); // Full disk, broken store.
        }
    }

    private async Task LookAtAllAsync(CancellationToken cancellationToken)
    {
        _whose = (await inUse(cancellationToken)).ToDictionary(static a => a.Address, static a => a.Whose);
        IPAddress[] back = [.. local.Missing.Where(local.Check)];
        foreach (IPAddress address in _whose.Keys)
            local.Check(address);
        foreach (IPAddress address in local.Missing)
        {
            // Mail that was accepted before its address was changed may still want to leave from it.
            if (!_whose.ContainsKey(address) && await waiting.CountAsync(WaitKey.Ip(address), 1, cancellationToken) == 0)
                await ForgetAsync(address, cancellationToken);
        }
        await TellAsync(back, cancellationToken);
        for (WaitKey? key = null; await waiting.NextAsync("egress", key, cancellationToken) is { } without; key = without)
        {
            (string subscription, string? domain) = without.EgressOf;
            if (await egress(subscription, domain, [], cancellationToken) is { MustWait: false })
                await waiting.WakeWaitersAsync(without, cancellationToken);
        }
    }

    /// <summary>Stores and tells what has changed since it was last told, and has the mail of what is back go on.</summary>
    /// <param name="back">Found again in this round: perhaps missed since the round before, and never told of.</param>
    private async Task TellAsync(IReadOnlyList<IPAddress> back, CancellationToken cancellationToken)
    {
        var news = new List<AddressNews>();
        foreach (IPAddress address in local.Missing)
        {
            if (!_told.ContainsKey(address))
                news.Add(new AddressNews(address, IsBack: false, _whose.GetValueOrDefault(address), local.MissingSince(address) ?? time.GetUtcNow()));
        }
        foreach ((IPAddress address, DateTimeOffset since) in _told)
        {
            if (!local.IsMissing(address))
                news.Add(new AddressNews(address, IsBack: true, _whose.GetValueOrDefault(address), since));
        }
        if (news.Count > 0)
        {
            await writer.RunAsync(
                context =>
                {
                    foreach (AddressNews one in news)
                        EgressUseRows.Missing(context, one.Address, one.IsBack ? null : one.Since);
                    return news.Count;
                },
                cancellationToken);
        }
        foreach (AddressNews one in news)
        {
            if (one.IsBack)
                _told.Remove(one.Address);
            else
                _told[one.Address] = one.Since;
            Changed?.Invoke(one);
        }
        foreach (IPAddress address in back.Concat(news.Where(static n => n.IsBack).Select(static n => n.Address)).Distinct())
            await waiting.WakeWaitersAsync(WaitKey.Ip(address), cancellationToken);
    }

    /// <summary>Nobody misses it any more: there is nothing to tell.</summary>
    private async Task ForgetAsync(IPAddress address, CancellationToken cancellationToken)
    {
        await writer.RunAsync(
            context =>
            {
                EgressUseRows.Missing(context, address, null);
                return true;
            },
            cancellationToken);
        local.Forget(address);
        _told.Remove(address);
    }

    private async Task SaveUsesAsync(CancellationToken cancellationToken)
    {
        List<(IPAddress Address, DateTimeOffset At)> uses = local.TakeUses();
        if (uses.Count == 0)
            return;
        await writer.RunAsync(
            context =>
            {
                foreach ((IPAddress address, DateTimeOffset at) in uses)
                    EgressUseRows.Used(context, address, at);
                return uses.Count;
            },
            cancellationToken);
    }
}
