using System.Collections.Immutable;
using System.Data.Common;
using System.Text.Encodings.Web;
using System.Text.Json;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Notices;

/// <summary>Finds in the decision records who and what used up a limit: the scripts, logins and addresses most of the last messages came from, and one of them.</summary>
internal sealed class SourceFinder(SqliteRelayStore store)
{
    /// <summary>Records looked at, newest first: some ten milliseconds of one read.</summary>
    private const int MaxRecords = 2000;

    private const int MaxOfEach = 2;

    private const string Select = """
        select id, identity, verdict, repeats, json_extract(detail, '$.script.name'), json_extract(detail, '$.client'), json_extract(levels, '$.next')
        from (select * from decision where id >= $1
        """;

    private const string Bound = " order by id desc limit $4) where kind = $2 and (instr(levels, $3 || '\"limit\":') > 0 or instr(levels, $3 || '\"origin\":') > 0) order by id desc";

    /// <summary>The notice with its sources and a sample, where it has none and they can be found.</summary>
    /// <param name="at">When it happened.</param>
    public async Task<Notice> FillAsync(Notice notice, DateTimeOffset at, CancellationToken cancellationToken)
    {
        if (notice is { Kind: NoticeKind.PasswordGuessing, Level: "login", Name.Length: > 0 })
            return await store.ReadAsync(db => WithOwner(db, notice), cancellationToken);
        bool isOfLimit = notice.Kind is NoticeKind.Warning or NoticeKind.Exceeded;
        return isOfLimit && notice.Sources.IsEmpty ? await store.ReadAsync(db => Fill(db, notice, at), cancellationToken) : notice;
    }

    /// <summary>Whose login it is.</summary>
    private static Notice WithOwner(DbConnection db, Notice notice)
    {
        if (SubscriptionOf(db, Level.Mailbox, notice.Name) is { } owner)
            return notice with { Level = "mailbox", Subscription = owner };
        return db.All("select level, object from credential where name = $1", static row => ((Level)row.GetInt32(0), row.GetString(1)), notice.Name) is [var (level, of), ..]
            ? notice with { Level = "sender", Subscription = SubscriptionOf(db, level, of) }
            : notice;
    }

    private static string? SubscriptionOf(DbConnection db, Level level, string name) => level switch
    {
        Level.Subscription => name,
        Level.Domain => AccountSql.Domain(db, name)?.Subscription,
        _ => AccountSql.Mailbox(db, name) is { } mailbox ? SubscriptionOf(db, Level.Domain, mailbox.Domain) : null,
    };

    private static Notice Fill(DbConnection db, Notice notice, DateTimeOffset at)
    {
        TimeSpan window = notice.Limit?.Contains("/d", StringComparison.Ordinal) == true ? TimeSpan.FromDays(1) : TimeSpan.FromHours(1);
        byte[] since = QueueId.Create(at - window, 0, 0).ToBytes();
        var counts = new Dictionary<(string What, string Name), long>();
        (byte[] Id, bool IsRefused, long? Next)? sample = null;
        long refused = 0;
        string sql = Select + (notice.Subscription is null ? "" : " and subscription = $5") + Bound; // Newest first by the key, or the index of a subscription's records.
        foreach ((byte[] id, string identity, bool isRefused, long repeats, string? script, string? client, long? next) in db.All(
            sql, Read, since, (int)Queue.RecordKind.Offered, LevelText(notice), MaxRecords, notice.Subscription ?? ""))
        {
            Add(script is null ? null : ("script", script), repeats);
            Add(Of(identity), repeats);
            Add(client is null ? null : ("client", client), repeats);
            if (sample is null || (isRefused && !sample.Value.IsRefused))
                sample = (id, isRefused, next);
            refused += isRefused ? repeats : 0;
        }
        return notice with
        {
            Sources = [.. counts.GroupBy(static c => c.Key.What).SelectMany(static g => g.OrderByDescending(static c => c.Value).ThenBy(static c => c.Key.Name, StringComparer.Ordinal).Take(MaxOfEach))
                .OrderBy(static c => Rank(c.Key.What)).ThenByDescending(static c => c.Value).Select(static c => new NoticeSource(c.Key.What, c.Key.Name, c.Value))],
            Ref = notice.Ref ?? (sample is { } found ? QueueId.FromBytes(found.Id).ToString() : null),
            NextPossible = notice.NextPossible ?? (sample?.Next is { } possible ? DateTimeOffset.FromUnixTimeMilliseconds(possible) : null),
            Refused = notice.Refused ?? (notice.Kind == NoticeKind.Exceeded ? refused : null),
        };

        void Add((string What, string Name)? source, long messages)
        {
            if (source is { } known)
                counts[known] = counts.GetValueOrDefault(known) + messages;
        }
    }

    /// <summary>As the record has the level, whoever wrote it; limit or origin follow.</summary>
    private static string LevelText(Notice notice) =>
        $"\"level\":\"{notice.Level}\",\"name\":\"{JsonEncodedText.Encode(notice.Name, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\","
        + (notice.Class is { } only ? $"\"class\":\"{only}\"," : "");

    /// <summary><c>login info@shop.test</c> is a login; who proved nothing is known by his address.</summary>
    private static (string What, string Name)? Of(string identity)
    {
        int blank = identity.IndexOf(' ', StringComparison.Ordinal);
        return blank <= 0 || identity.StartsWith("none ", StringComparison.Ordinal) ? null : (identity[..blank], identity[(blank + 1)..]);
    }

    private static int Rank(string what) => what switch
    {
        "script" => 0,
        "client" => 2,
        _ => 1,
    };

    private static (byte[] Id, string Identity, bool IsRefused, long Repeats, string? Script, string? Client, long? Next) Read(DbDataReader row) => (
        (byte[])row.GetValue(0), row.GetString(1), RecordCodes.Verdict(row.GetInt64(2)) != Verdict.Accept, row.GetInt64(3), row.TextOrNull(4), row.TextOrNull(5), row.IsDBNull(6) ? null : row.GetInt64(6));
}
