using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using RelayGate.Core.Dns;
using RelayGate.Core.Tls;
using RelayGate.Accounts;
using RelayGate.Dns;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Sts;

/// <summary>The MTA-STS policies of recipient domains: kept in the store, fetched when their id changes, refreshed before they expire (RFC 8461 §3, §5.1).</summary>
/// <remarks>
/// A policy that is kept counts until its age is over, whatever becomes of its TXT record or its host. What cannot be fetched is asked for again
/// after five minutes. Bounds: eight fetches at once and 1,000 that wait, 10,000 policies in memory, 100,000 in the store.
/// A delivery waits 15 s at most for a first fetch, then it goes as to a domain without policy, as §5.1 has it where none can be had.
/// What was wrong with a fetch is logged once a day for each domain.
/// </remarks>
public sealed class StsPolicies : IDisposable
{
    private const int MaxFetches = 8;
    private const int MaxWaiting = 1000;
    private const int MaxInMemory = 10_000;
    private const int MaxKept = 100_000;
    private const int MaxRefreshed = 500; // In one round.

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMinutes(5); // RFC 8461 §5.1.
    private static readonly TimeSpan LogAgainAfter = TimeSpan.FromDays(1);
    private static readonly TimeSpan Round = TimeSpan.FromHours(1);
    private static readonly TimeSpan RefreshAfter = TimeSpan.FromDays(1); // RFC 8461 §10.2.
    private static readonly TimeSpan UsedWithin = TimeSpan.FromDays(30);

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly DnsResolver _dns;
    private readonly StsFetcher _fetcher;
    private readonly TimeProvider _time;
    private readonly ILogger<StsPolicies> _logger;
    private readonly BoundedCache<string, Entry> _entries = new(MaxInMemory);
    private readonly Dictionary<string, Task<StsFinding>> _fetching = new(StringComparer.Ordinal); // Guarded by itself.
    private readonly ConcurrentDictionary<string, DateTimeOffset> _used = new(StringComparer.Ordinal); // Since the last round.
    private readonly SemaphoreSlim _turns = new(MaxFetches);
    private readonly BackgroundLoop _loop = new();

    public StsPolicies(SqliteRelayStore store, QueueWriter writer, DnsResolver dns, StsFetcher fetcher, TimeProvider time, ILogger<StsPolicies> logger)
    {
        _store = store;
        _writer = writer;
        _dns = dns;
        _fetcher = fetcher;
        _time = time;
        _logger = logger;
    }

    /// <summary>Begins to refresh policies, once an hour.</summary>
    public void Start() => _loop.Start(RunAsync);

    public Task StopAsync(CancellationToken cancellationToken) => _loop.StopAsync(cancellationToken);

    /// <summary>The policy of a domain now. <see cref="StsLookup"/>.</summary>
    /// <param name="domain">A-labels in lower case.</param>
    public async ValueTask<StsFinding> FindAsync(string domain, CancellationToken cancellationToken)
    {
        if (!_entries.TryGet(domain, out Entry entry))
        {
            long stamp = _entries.StampOf(domain);
            entry = new Entry(await _store.ReadAsync(db => StsRows.Find(db, domain), cancellationToken), null, default, default);
            _entries.Add(domain, entry, stamp);
        }
        DateTimeOffset now = _time.GetUtcNow();
        KeptPolicy? kept = entry.Kept is { } found && now < found.ExpiresAt ? found : null;
        DnsAnswer answer = await _dns.ResolveAsync(new DnsQuestion($"_mta-sts.{domain}", DnsType.Txt), cancellationToken);
        string? id = answer.Outcome == DnsOutcome.Found ? StsPolicy.ReadId(answer.Records) : null;
        if (kept is not null && (_used.Count < MaxInMemory || _used.ContainsKey(domain)))
            _used[domain] = now;
        if (id is null || id == kept?.Id)
            return kept is not null ? new StsFinding(kept.Policy) : answer.Fault is { } fault ? StsFinding.Unknown(fault) : StsFinding.None;
        StsFinding fetched = entry.Failure is { } failure && now < entry.RetryAt ? failure : await WaitForAsync(domain, id, cancellationToken);
        return fetched.Policy is null && kept is not null ? new StsFinding(kept.Policy, fetched.Result, fetched.Reason) : fetched;
    }

    /// <summary>One round: those in use that are a day old, or half through their age, are fetched anew; expired ones go.</summary>
    internal async Task RefreshAsync(CancellationToken cancellationToken)
    {
        DateTimeOffset now = _time.GetUtcNow();
        KeyValuePair<string, DateTimeOffset>[] used = [.. _used];
        _used.Clear();
        await _writer.WriteAsync(
            db =>
            {
                foreach ((string domain, DateTimeOffset at) in used)
                    StsRows.MarkUsed(db, domain, at);
                return StsRows.Prune(db, now, MaxKept);
            },
            cancellationToken: cancellationToken);
        List<KeptPolicy> due = await _store.ReadAsync(db => StsRows.DueForRefresh(db, now - RefreshAfter, now - UsedWithin, MaxRefreshed), cancellationToken);
        await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = MaxFetches, CancellationToken = cancellationToken }, async (kept, token) =>
        {
            DnsAnswer answer = await _dns.ResolveAsync(new DnsQuestion($"_mta-sts.{kept.Domain}", DnsType.Txt), token);
            if (answer.Outcome == DnsOutcome.Found && StsPolicy.ReadId(answer.Records) is { } id)
                if (FetchOnce(kept.Domain, id) is { } fetch) // Null: the next round has time for it.
                    await fetch.WaitAsync(token);
        });
    }

    public void Dispose()
    {
        _loop.Dispose();
        _turns.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_loop.Stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(Round, _time, _loop.Stopping);
                await RefreshAsync(_loop.Stopping);
            }
            catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Log.StsRefreshFailed(_logger, e); // The next round tries again; what is kept goes on to count.
            }
        }
    }

    private async Task<StsFinding> WaitForAsync(string domain, string id, CancellationToken cancellationToken)
    {
        if (FetchOnce(domain, id) is not { } fetch)
            return StsFinding.Unknown("Too many MTA-STS policies are being fetched");
        try
        {
            return await fetch.WaitAsync(Patience, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return new StsFinding(null, TlsResult.StsPolicyFetchError, $"The MTA-STS policy at mta-sts.{domain} did not come within {Patience.TotalSeconds:0} s");
        }
    }

    /// <summary>One fetch of a domain at a time, for all who ask for it; null: too many are under way.</summary>
    private Task<StsFinding>? FetchOnce(string domain, string id)
    {
        lock (_fetching)
        {
            if (_fetching.TryGetValue(domain, out Task<StsFinding>? fetch) || _fetching.Count >= MaxWaiting)
                return fetch;
            return _fetching[domain] = Task.Run(() => FetchAndKeepAsync(domain, id));
        }
    }

    private async Task<StsFinding> FetchAndKeepAsync(string domain, string id)
    {
        try
        {
            KeptPolicy? kept = _entries.TryGet(domain, out Entry before) ? before.Kept : await _store.ReadAsync(db => StsRows.Find(db, domain), _loop.Stopping);
            if (kept is not null && kept.Id == id && _time.GetUtcNow() - kept.FetchedAt < RetryAfter)
                return new StsFinding(kept.Policy); // Another has fetched it since this was asked for.
            await _turns.WaitAsync(_loop.Stopping);
            StsFinding finding;
            try
            {
                finding = await _fetcher.FetchAsync(domain, _loop.Stopping);
            }
            finally
            {
                _turns.Release();
            }
            DateTimeOffset fetchedAt = _time.GetUtcNow();
            if (finding.Policy is { } policy)
            {
                KeptPolicy fetched = kept = new KeptPolicy(domain, id, policy, fetchedAt);
                await _writer.WriteAsync(db =>
                {
                    StsRows.Save(db, fetched);
                    return true;
                });
            }
            _entries.Invalidate(domain); // Who has read the store before must not put that over this.
            StsFinding? failure = finding.Policy is null ? finding : null;
            DateTimeOffset? loggedAt = failure is null ? null : LogOnceADay(failure, before, kept, fetchedAt);
            _entries.Add(domain, new Entry(kept, failure, fetchedAt + RetryAfter, loggedAt), _entries.StampOf(domain));
            return finding;
        }
        finally
        {
            lock (_fetching)
                _fetching.Remove(domain);
        }
    }

    /// <summary>RFC 8461 §3.3: administrators are told, but of a policy whose mode is none.</summary>
    /// <param name="before">What was known before this fetch: another kind of failure is told of at once.</param>
    /// <returns>When it was logged; null: it was not.</returns>
    private DateTimeOffset? LogOnceADay(StsFinding failure, in Entry before, KeptPolicy? kept, DateTimeOffset now)
    {
        if (before.LoggedAt is { } at && now - at < LogAgainAfter && before.Failure?.Result == failure.Result)
            return at;
        if (kept is null || now >= kept.ExpiresAt)
            Log.StsPolicyNotHad(_logger, failure.Reason!);
        else if (kept.Policy.Mode == StsMode.None)
            return null;
        else
            Log.StsPolicyNotRefreshed(_logger, failure.Reason!, kept.ExpiresAt);
        return now;
    }

    /// <param name="Failure">What the last fetch came to, if to nothing; null: it did not fail.</param>
    /// <param name="LoggedAt">When that, or the same before it, was logged; null: it was not.</param>
    private readonly record struct Entry(KeptPolicy? Kept, StsFinding? Failure, DateTimeOffset RetryAt, DateTimeOffset? LoggedAt);
}
