using System.Net;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Whatever is looked for in whatever queue: lists and orders find what a plain look at each message finds, each once.</summary>
public sealed class QueueFilterProperties
{
    private static readonly string[] Subscriptions = ["acme", "globex"];
    private static readonly string[] Domains = ["example.org", "example.net", "notexample.net"];
    private static readonly string[] Addresses = ["192.0.2.11", "192.0.2.1"];
    private static readonly (string Text, ReplyClass Class)[] Replies = [("550 5.7.1 Blocked by zen.test", ReplyClass.IpBlocked), ("452 4.2.2 Full", ReplyClass.MailboxFull), ("451 Later", ReplyClass.Transient)];
    private static readonly string?[] Reasons = [null, "ZEN.test", "ip-blocked", "mailbox-full", "later", "nothing of it"];
    private static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Lists_and_orders_find_what_a_plain_look_at_each_message_finds()
    {
        Gen<Sample> samples =
            from subscription in Gen.Elements(Subscriptions)
            from address in Gen.Elements(Addresses)
            from script in Gen.Elements<string?>(null, "a.php", "b.php")
            from state in Gen.Elements(Enum.GetValues<QueueState>())
            from held in Gen.Elements(HoldReason.Administrator, HoldReason.Suspended, HoldReason.Limit)
            from domains in Gen.NonEmptyListOf(Gen.Elements(Domains))
            from reply in Gen.Choose(0, Replies.Length - 1)
            select new Sample(subscription, address, script, state, held, [.. domains.Take(3)], reply);
        Gen<Wish> wishes =
            from subscription in Gen.Elements<string?>(null, null, "acme")
            from domain in Gen.Elements<string?>(null, "example.net", "example.org")
            from sender in Gen.Elements<string?>(null, null, "info@acme.test", "globex.test")
            from path in Gen.Elements<string?>(null, null, "@acme.test", "info@globex.test")
            from script in Gen.Elements<string?>(null, null, "a.php")
            from address in Gen.Elements<string?>(null, null, "192.0.2.1")
            from reason in Gen.Elements(Reasons)
            from state in Gen.Elements<QueueState?>(null, null, QueueState.Active, QueueState.Deferred, QueueState.Held, QueueState.Failed)
            from held in Gen.Elements<HoldReason?>(null, null, HoldReason.Suspended)
            from before in Gen.Elements<int?>(null, null, 5)
            select new Wish(subscription, new QueueFilter
            {
                RecipientDomain = domain,
                CountedAt = sender,
                Sender = path,
                Script = script,
                EgressAddress = address is null ? null : IPAddress.Parse(address),
                Reason = reason,
                State = state,
                Held = held,
                Before = before is { } minutes ? Start.AddMinutes(minutes) : null,
            });
        Prop.ForAll(
            Gen.ListOf(samples).Where(static s => s.Count <= 12).ToArbitrary(), Gen.ArrayOf(wishes, 12).ToArbitrary(),
            static (queue, looked) => CheckAsync([.. queue], looked).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(20));
    }

    private static async Task CheckAsync(Sample[] samples, Wish[] wishes)
    {
        using var queue = new QueueFixture();
        var model = new List<(Sample Sample, QueueId Id)>();
        for (int i = 0; i < samples.Length; i++)
            model.Add((samples[i], await InsertAsync(queue, samples[i], i)));
        QueueAdministration administration = queue.NewAdministration();
        foreach (Wish wish in wishes)
        {
            string[] expected = [.. model.Where(m => Matches(m.Sample, m.Id, wish)).Select(m => m.Id.ToString()).Order(StringComparer.Ordinal)];
            Assert.Equal(expected, await ListAsync(administration, wish));
            var selection = new QueueSelection([], wish.Subscription, wish.Filter);
            QueueOrderResult deleted = await administration.OrderAsync(QueueOrder.Delete, selection, dryRun: true);
            Assert.Equal(expected.Length, deleted.Count);
            QueueOrderResult requeued = await administration.OrderAsync(QueueOrder.Requeue, selection, dryRun: true);
            Assert.Equal(model.Count(m => m.Sample.State == QueueState.Failed && Matches(m.Sample, m.Id, wish with { Filter = wish.Filter with { State = wish.Filter.State ?? QueueState.Failed } })), requeued.Count);
        }
        Assert.Equal(0, await queue.Count("message_order")); // A dry run changes nothing.
        Assert.Equal(0, await queue.Count("audit"));
        Assert.Equal(samples.Length, await queue.Count("message"));
    }

    private static bool Matches(Sample s, QueueId id, Wish wish)
    {
        QueueFilter f = wish.Filter;
        bool isHeld = s.State == QueueState.Held;
        bool isCountedThere = f.CountedAt is null || f.CountedAt == $"info@{s.Subscription}.test" || f.CountedAt == $"{s.Subscription}.test";
        return (wish.Subscription is null || wish.Subscription == s.Subscription)
            && (f.RecipientDomain is null || s.Domains.Contains(f.RecipientDomain)) && isCountedThere
            && (f.Sender is null || f.Sender == $"info@{s.Subscription}.test" || f.Sender == $"@{s.Subscription}.test")
            && (f.Script is null || f.Script == s.Script) && (f.EgressAddress is null || f.EgressAddress.ToString() == s.Address)
            && (f.Reason is null || (s.HasReply && (f.Reason == QueueFilter.SlugOf(Replies[s.Reply].Class) || Replies[s.Reply].Text.Contains(f.Reason, StringComparison.OrdinalIgnoreCase))))
            && (f.State is null ? s.State != QueueState.Failed : f.State == s.State)
            && (f.Held is null || (isHeld && f.Held == s.Held)) && (f.Before is null || id.Timestamp < f.Before);
    }

    private static async Task<QueueId> InsertAsync(QueueFixture queue, Sample s, int number)
    {
        while (queue.Time.GetUtcNow() < Start.AddMinutes(number))
            queue.Time.Advance(Start.AddMinutes(number) - queue.Time.GetUtcNow());
        queue.Egress = new EgressChoice(new EgressAddress(IPAddress.Parse(s.Address), "192.0.2.1"), null, "relay.example.net", "subscription-address");
        QueueId id = (await queue.AcceptAsync(queue.Account(s.Subscription), [.. s.Domains.Select((d, i) => $"r{i}@{d}")])).Id;
        string reply = s.HasReply ? $"last_reply = '{Replies[s.Reply].Text}', last_class = {(int)Replies[s.Reply].Class}" : "last_reply = null";
        string attempts = s.State is QueueState.Deferred or QueueState.Failed ? ", attempts = 1" : "";
        string ended = s.State == QueueState.Failed ? ", state = 2, next_attempt = null" : s.State == QueueState.Held ? ", next_attempt = null" : "";
        await queue.Writer.WriteAsync(db => Storage.SqliteRelayStoreTests.Execute(
            db, $"update recipient set {reply}{attempts}{ended} where message = (select seq from message where id = x'{Convert.ToHexString(id.ToBytes())}')"));
        string script = s.Script is null ? "null" : $"'{s.Script}'";
        string held = s.State == QueueState.Held ? $", held = {(int)s.Held}" : s.State == QueueState.Failed ? ", expires_at = 4102444800000" : "";
        await queue.Writer.WriteAsync(db => Storage.SqliteRelayStoreTests.Execute(
            db, $"update message set script = {script}{held} where id = x'{Convert.ToHexString(id.ToBytes())}'"));
        return id;
    }

    private static async Task<string[]> ListAsync(QueueAdministration administration, Wish wish)
    {
        var refs = new List<string>();
        var query = new QueueQuery { Subscription = wish.Subscription, Filter = wish.Filter, Limit = 3 };
        QueuePage page;
        do
        {
            page = (await administration.ListAsync(query, null, default))!;
            refs.AddRange(page.Items.Select(static i => i.Ref));
            query = query with { Cursor = page.NextCursor };
        }
        while (page.NextCursor is not null);
        return [.. refs.Order(StringComparer.Ordinal)];
    }

    private sealed record Sample(string Subscription, string Address, string? Script, QueueState State, HoldReason Held, string[] Domains, int Reply)
    {
        public bool HasReply => State is QueueState.Deferred or QueueState.Failed;
    }

    private sealed record Wish(string? Subscription, QueueFilter Filter);
}
