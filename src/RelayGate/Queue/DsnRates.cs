using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Why a DSN was not sent.</summary>
public enum DsnSuppression
{
    None,

    /// <summary>Its receiver had <c>Dsn:PerSender</c> within an hour.</summary>
    PerSender,

    /// <summary>It goes to an address that is not hosted here, and its subscription had <c>Dsn:Backscatter</c> of these within an hour.</summary>
    Backscatter,
}

internal static class DsnSuppressions
{
    /// <summary>per-sender or backscatter.</summary>
    public static string Word(DsnSuppression suppression) => suppression == DsnSuppression.PerSender ? "per-sender" : "backscatter";
}

/// <summary>Counts the DSNs of the last hour in the store, in the transaction that enqueues them, so that the bounds hold over restarts.</summary>
/// <remarks>An hour begins with the first DSN; what is older is removed on the way.</remarks>
internal static class DsnRates
{
    public const string Ddl = """
        -- DSNs since a time, by receiver ("to acme info@shop.test") and, to addresses that are not hosted here, by subscription ("from acme").
        create table dsn_rate (
          name text not null primary key,
          since integer not null,
          count integer not null
        ) without rowid;
        create index dsn_rate_since on dsn_rate (since);

        """;

    private const long Hour = 3_600_000;
    private const string Select = "select since, count from dsn_rate where name = ?";
    private const string Upsert =
        "insert into dsn_rate (name, since, count) values (?, ?, ?) on conflict (name) do update set since = excluded.since, count = excluded.count";

    private const string DeleteOld = "delete from dsn_rate where name in (select name from dsn_rate where since < ? order by since limit 16)";

    /// <summary>Counts one DSN, unless a bound is reached; then nothing is counted.</summary>
    /// <param name="isToHosted">Whether it goes to a domain that is hosted here.</param>
    public static DsnSuppression Take(WriteContext context, DsnOptions options, string subscription, MailboxAddress to, bool isToHosted, DateTimeOffset now)
    {
        long at = now.ToUnixTimeMilliseconds();
        string sender = $"to {subscription} {to.Canonical}";
        string strangers = $"from {subscription}";
        (long since, long count) ofSender = Read(context, sender, at);
        if (options.PerSender > 0 && ofSender.count >= options.PerSender)
            return DsnSuppression.PerSender;
        if (!isToHosted && options.Backscatter > 0)
        {
            (long since, long count) ofStrangers = Read(context, strangers, at);
            if (ofStrangers.count >= options.Backscatter)
                return DsnSuppression.Backscatter;
            Write(context, strangers, ofStrangers, at);
        }
        Write(context, sender, ofSender, at);
        return DsnSuppression.None;
    }

    /// <summary>The hour that runs, or a new one; a clock that was set back begins a new one.</summary>
    private static (long Since, long Count) Read(WriteContext context, string name, long now)
    {
        SqliteStatement select = context.Prepared(Select).Bind(1, name);
        (long, long) found = select.Step() && select.Int64(0) <= now && select.Int64(0) > now - Hour ? (select.Int64(0), select.Int64(1)) : (now, 0);
        select.Reset();
        return found;
    }

    private static void Write(WriteContext context, string name, (long Since, long Count) counted, long now)
    {
        if (counted.Count == 0)
            context.Prepared(DeleteOld).Bind(1, now - Hour).Execute();
        context.Prepared(Upsert).Bind(1, name).Bind(2, counted.Since).Bind(3, counted.Count + 1).Execute();
    }
}
