using System.Collections.Immutable;
using RelayGate.Core.Dsn;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>A recipient domain or provider that nothing is delivered to, by hand.</summary>
/// <param name="Key"><c>to DOMAIN</c> or <c>provider NAME</c>.</param>
/// <param name="By">Who ordered it.</param>
public sealed record SuspendedDestination(WaitKey Key, DateTimeOffset Since, string By);

/// <summary>What became of an order for a destination.</summary>
public enum DestinationOutcome
{
    Done,

    /// <summary>It was suspended, or open, already.</summary>
    Unchanged,

    /// <summary>As many are suspended as may be.</summary>
    TooMany,
}

/// <summary>The destinations that are suspended: kept in the store, asked for each attempt in memory. Their mail is put off and keeps its age.</summary>
public sealed class SuspendedDestinations
{
    /// <summary>Destinations that may be suspended at once.</summary>
    public const int Max = 1000;

    internal const string Ddl = """
        -- Recipient domains and providers that nothing is delivered to, by hand; key as WaitKey writes it.
        create table destination_suspension (
          key text not null primary key,
          since integer not null,
          whom text not null
        ) without rowid;

        """;

    private const string Select = "select key, since, whom from destination_suspension order by key";
    private const string Insert = "insert into destination_suspension (key, since, whom) values (?, ?, ?)";
    private const string Remove = "delete from destination_suspension where key = ?";

    private static readonly TimeSpan Recheck = TimeSpan.FromHours(4); // Resume wakes what waits; this is for a wake that was missed.

    private readonly QueueWriter _writer;
    private readonly WaitingMail _waiting;
    private readonly TimeProvider _time;
    private ImmutableDictionary<string, SuspendedDestination> _suspended = ImmutableDictionary<string, SuspendedDestination>.Empty;

    public SuspendedDestinations(SqliteRelayStore store, QueueWriter writer, WaitingMail waiting, TimeProvider time)
    {
        _writer = writer;
        _waiting = waiting;
        _time = time;
        using StoreConnection connection = store.OpenReadConnection();
        Load(connection);
    }

    /// <summary>By name, domains first.</summary>
    public ImmutableArray<SuspendedDestination> All =>
        [.. Volatile.Read(ref _suspended).Values.OrderBy(static d => d.Key.Kind != "to").ThenBy(static d => d.Key.Text, StringComparer.Ordinal)];

    public bool IsNone => Volatile.Read(ref _suspended).IsEmpty;

    /// <summary>Why mail to a recipient domain is put off now, or null.</summary>
    public PutOff? WaitForDomain(string domain) => Wait(WaitKey.To(domain), domain);

    /// <summary>Why mail to a provider is put off now, or null.</summary>
    public PutOff? WaitForProvider(string provider) => IsNone ? null : Wait(WaitKey.Provider(provider), provider);

    /// <summary>Puts mail to a destination off, queued and new, until <see cref="ResumeAsync"/>. A transaction in flight ends.</summary>
    public Task<DestinationOutcome> SuspendAsync(WaitKey key, string by, CancellationToken cancellationToken) => ChangeAsync(
        context =>
        {
            ImmutableDictionary<string, SuspendedDestination> before = Volatile.Read(ref _suspended);
            if (before.ContainsKey(key.Text))
                return DestinationOutcome.Unchanged;
            if (before.Count >= Max)
                return DestinationOutcome.TooMany;
            context.Prepared(Insert).Bind(1, key.Text).Bind(2, _time.GetUtcNow().ToUnixTimeMilliseconds()).Bind(3, by).Execute();
            AuditRows.Add(context.Connection.Connection, _time.GetUtcNow(), by, "queue suspend", Target(key), null, "", "suspended");
            return DestinationOutcome.Done;
        },
        cancellationToken);

    /// <summary>Lets mail to a destination go on: what waits is due at once, a bounded number a second.</summary>
    public async Task<DestinationOutcome> ResumeAsync(WaitKey key, string by, CancellationToken cancellationToken)
    {
        DestinationOutcome outcome = await ChangeAsync(
            context =>
            {
                if (context.Prepared(Remove).Bind(1, key.Text).Execute() == 0)
                    return DestinationOutcome.Unchanged;
                AuditRows.Add(context.Connection.Connection, _time.GetUtcNow(), by, "queue resume", Target(key), null, "suspended", "");
                return DestinationOutcome.Done;
            },
            cancellationToken);
        await _waiting.WakeWaitersAsync(key, CancellationToken.None); // Also where it was open: something may have been missed.
        return outcome;
    }

    private static string Target(WaitKey key) => key.Kind == "to" ? $"destination {key.Text[3..]}" : key.Text;

    private PutOff? Wait(WaitKey key, string name) => Volatile.Read(ref _suspended).GetValueOrDefault(key.Text) is not { } suspended ? null
        : new PutOff(key, _time.GetUtcNow() + Recheck, "4.3.2", $"Delivery to {name} is suspended by hand since {suspended.Since.UtcDateTime:yyyy-MM-dd HH:mm} UTC", WaitCause.ByHand) { IsOpenEnded = true };

    /// <summary>Changes the rows, and takes over what is committed before anything that is committed later.</summary>
    private async Task<DestinationOutcome> ChangeAsync(Func<WriteContext, DestinationOutcome> change, CancellationToken cancellationToken)
    {
        (DestinationOutcome outcome, _) = await _writer.RunAsync(
            context => (change(context), context.Connection), cancellationToken,
            done =>
            {
                if (done.Item1 == DestinationOutcome.Done)
                    Load(done.Connection);
            });
        return outcome;
    }

    private void Load(StoreConnection connection)
    {
        var found = ImmutableDictionary.CreateBuilder<string, SuspendedDestination>();
        SqliteStatement row = connection.Prepared(Select);
        while (row.Step())
            found.Add(row.Text(0), new SuspendedDestination(new WaitKey(row.Text(0)), RecordReader.Time(row.Int64(1)), row.Text(2)));
        Volatile.Write(ref _suspended, found.ToImmutable());
    }
}
