using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Finds by index which subscriptions have queued mail of somebody: those that took it, whoever owns him now.</summary>
internal static class MailOfSender
{
    private const string NextOfDomain = """
        select subscription from recipient
        where position = 0 and counted_at is not null and substr(counted_at, instr(counted_at, '@') + 1) = ? and subscription > ? order by subscription limit 1
        """;

    private const string NextOfUid =
        "select subscription from message where uid is not null and expires_at is null and uid = ? and subscription > ? order by subscription limit 1";

    private const string NextOfCredential =
        "select subscription from message where credential is not null and expires_at is null and credential = ? and subscription > ? order by subscription limit 1";

    /// <summary>The next subscription that has mail counted at a domain, or at a mailbox of its.</summary>
    /// <param name="sender">The domain, or a mailbox of it.</param>
    /// <param name="after">"" for the first.</param>
    public static string? Next(StoreConnection connection, string sender, string after) =>
        Text(connection.Prepared(NextOfDomain).Bind(1, sender[(sender.LastIndexOf('@') + 1)..]).Bind(2, after));

    public static void AddSubscriptionsOfSender(StoreConnection connection, string sender, HashSet<string> found)
    {
        for (string? name = Next(connection, sender, ""); name is not null; name = Next(connection, sender, name))
            found.Add(name);
    }

    public static void AddSubscriptionsOfUid(StoreConnection connection, int uid, HashSet<string> found)
    {
        for (string? name = Of(""); name is not null; name = Of(name))
            found.Add(name);

        string? Of(string after) => Text(connection.Prepared(NextOfUid).Bind(1, uid).Bind(2, after));
    }

    public static void AddSubscriptionsOfCredential(StoreConnection connection, string credential, HashSet<string> found)
    {
        for (string? name = Of(""); name is not null; name = Of(name))
            found.Add(name);

        string? Of(string after) => Text(connection.Prepared(NextOfCredential).Bind(1, credential).Bind(2, after));
    }

    private static string? Text(SqliteStatement select)
    {
        string? text = select.Step() ? select.Text(0) : null;
        select.Reset();
        return text;
    }
}
