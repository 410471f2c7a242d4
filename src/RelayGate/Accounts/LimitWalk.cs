using System.Data.Common;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Goes through an object and all below it, each before what is below it, from any object on: by look-ups in the order of names alone.</summary>
/// <param name="depth">Levels below the root that are visited.</param>
internal sealed class LimitWalk(DbConnection db, AccountKey root, int depth)
{
    private const int Batch = 100;

    private readonly Stack<Frame> _frames = new();

    /// <summary>Objects of one level below another, as far as they were read.</summary>
    private sealed class Frame(AccountKey parent, int depth, AccountKey? after)
    {
        public AccountKey Parent => parent;

        public int Depth => depth;

        /// <summary>The last one that was read.</summary>
        public AccountKey? After { get; set; } = after;

        public Queue<AccountKey> Read { get; } = new();

        public bool IsLast { get; set; }
    }

    /// <param name="after">Goes on behind this object; null: begins with the root.</param>
    /// <returns>At most <paramref name="count"/> objects with their depth.</returns>
    public List<(AccountKey Key, int Depth)> Next(AccountKey? after, int count)
    {
        var found = new List<(AccountKey, int)>();
        if (after is null)
        {
            AccountAdministration.PathOf(db, root); // It must be there.
            found.Add((root, 0));
            Enter(root, 0, null);
        }
        else
        {
            AccountKey[] path = AccountAdministration.PathOf(db, after.Value);
            int from = Array.IndexOf(path, root);
            if (from < 0)
                throw AdminException.Invalid("the cursor is not one that a page of this tree gave");
            for (int i = from; i < path.Length; i++)
                Enter(path[i], i - from, i + 1 < path.Length ? path[i + 1] : null);
        }
        while (found.Count < count && _frames.TryPeek(out Frame? frame))
        {
            if (!frame.Read.TryDequeue(out AccountKey key))
            {
                if (frame.IsLast)
                    _frames.Pop();
                else
                    Fill(frame, Math.Min(Batch, count));
                continue;
            }
            found.Add((key, frame.Depth));
            Enter(key, frame.Depth, null);
        }
        return found;
    }

    private void Enter(AccountKey key, int at, AccountKey? after)
    {
        if (key.Level != Level.Mailbox && at < depth)
            _frames.Push(new Frame(key, at + 1, after));
    }

    /// <summary>Below the server are the plans, then the subscriptions without one.</summary>
    private void Fill(Frame frame, int count)
    {
        if (frame.Parent.Level == Level.Server && frame.After?.Level != Level.Subscription)
        {
            Read("select name from plan where name > $1 order by name limit $2", Level.Plan, frame.After?.Name ?? "");
            if (frame.Read.Count == count)
                return;
            frame.After = null;
        }
        string after = frame.After?.Name ?? "";
        switch (frame.Parent.Level)
        {
            case Level.Server:
                Read("select name from subscription where plan is null and name > $1 order by name limit $2", Level.Subscription, after);
                break;
            case Level.Plan:
                Read("select name from subscription where plan = $3 and name > $1 order by name limit $2", Level.Subscription, after);
                break;
            case Level.Subscription:
                Read("select name from domain where subscription = $3 and name > $1 order by name limit $2", Level.Domain, after);
                break;
            default:
                Read("select address from mailbox where domain = $3 and address > $1 order by address limit $2", Level.Mailbox, after);
                break;
        }
        frame.IsLast = frame.Read.Count < count;

        void Read(string sql, Level level, string name)
        {
            object[] values = sql.Contains("$3", StringComparison.Ordinal) ? [name, count - frame.Read.Count, frame.Parent.Name] : [name, count - frame.Read.Count];
            foreach (AccountKey key in db.All(sql, row => new AccountKey(level, row.GetString(0)), values))
            {
                frame.Read.Enqueue(key);
                frame.After = key;
            }
        }
    }
}
