using System.Net;
using System.Security.Cryptography;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Data.Sqlite;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Replay;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Replay;

public sealed class LimitReplayTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task It_says_who_would_have_been_hit_at_which_level_when_first_and_how_often()
    {
        for (int i = 0; i < 5; i++)
        {
            await _queue.AcceptAsync(_queue.Account("acme"), "a@example.org", "b@example.org");
            await _queue.AcceptAsync(_queue.Account("zeta"));
            _queue.Time.Advance(TimeSpan.FromMinutes(1));
        }

        ReplayReport report = await ReplayAsync("domain:acme.test=3/h", "mailbox=unlimited", "subscription=4/h");

        Assert.Equal(new MailCount(10, 15), report.Offered);
        Assert.Equal(new MailCount(3, 5), report.Stopped);
        Assert.Equal(report.Stopped, report.NewlyStopped);
        Assert.Equal(Start.AddMinutes(3), report.First);
        Assert.Equal(new LevelCount(Level.Subscription, 2, 2), report.Levels[(int)Level.Subscription]);
        Assert.Equal(
            [
                new ReplayItem(new AccountKey(Level.Domain, "acme.test"), "3/h", "proposed", OverLimitAction.Refuse, Start.AddMinutes(3), new MailCount(2, 4), new MailCount(2, 4)),
                new ReplayItem(new AccountKey(Level.Subscription, "zeta"), "4/h", "proposed", OverLimitAction.Refuse, Start.AddMinutes(4), new MailCount(1, 1), new MailCount(1, 1)),
            ],
            report.Items.ToArray());
    }

    [Theory]
    [InlineData("mailbox=2/h:rcpt", 1, "2/h:rcpt")]
    [InlineData("server=forbidden", 2, "forbidden")]
    [InlineData("plan:basic=1/d", 1, "1/d")]
    public async Task Limits_of_every_kind_are_tried(string limit, long stopped, string shown)
    {
        await _queue.AcceptAsync(_queue.Account("acme"), "a@example.org", "b@example.org", "c@example.org");
        await _queue.AcceptAsync(_queue.Account("zeta"));

        ReplayReport report = await ReplayAsync(limit);

        Assert.Equal(stopped, report.Stopped.Messages);
        Assert.Equal(shown, Assert.Single(report.Items).Limit);
    }

    [Fact]
    public async Task A_time_before_all_records_means_all_of_them()
    {
        await _queue.AcceptAsync(_queue.Account());

        Assert.Equal(1, (await ReplayAsync(_queue, DateTimeOffset.MinValue, ["server=forbidden"])).Stopped.Messages);
        Assert.Equal(1, (await ReplayAsync(_queue, _queue.Time.GetUtcNow().AddDays(-99_999), ["server=forbidden"])).Stopped.Messages);
    }

    [Fact]
    public async Task What_was_accepted_before_the_time_asked_for_still_fills_its_window()
    {
        await _queue.AcceptAsync(_queue.Account());
        _queue.Time.Advance(TimeSpan.FromMinutes(50));
        DateTimeOffset since = _queue.Time.GetUtcNow();
        await _queue.AcceptAsync(_queue.Account());
        _queue.Time.Advance(TimeSpan.FromMinutes(20));
        await _queue.AcceptAsync(_queue.Account());

        ReplayReport report = await ReplayAsync(since, "mailbox=1/h");

        Assert.Equal(2, report.Records);
        Assert.Equal(new MailCount(1, 1), report.Stopped);
        Assert.Equal(since, report.First);
    }

    [Fact]
    public async Task What_was_refused_by_a_limit_may_pass_and_what_was_refused_otherwise_is_left_out()
    {
        SenderAccount account = _queue.Account(limit: "1/h");
        await _queue.AcceptAsync(account);
        Assert.Equal(OfferOutcome.Refused, (await _queue.OfferAsync(_queue.Message(account))).Outcome);
        Assert.Equal(OfferOutcome.Refused, (await _queue.OfferAsync(_queue.Message(account with { Suspended = SuspendedObject.Of(account.Levels[2].Key) }))).Outcome);

        ReplayReport report = await ReplayAsync("mailbox=2/h");

        Assert.Equal(3, report.Records);
        Assert.Equal(1, report.LeftOut);
        Assert.Equal(new MailCount(2, 2), report.Offered);
        Assert.Equal(new MailCount(1, 1), report.NewlyPassed);
        Assert.Equal(default, report.Stopped);
        // The refusal looked at no level below the subscription; it counts at them all the same.
        Assert.Equal(new MailCount(1, 1), (await ReplayAsync("mailbox=1/h")).Stopped);
        Assert.Equal("mailbox info@acme.test", Assert.Single((await ReplayAsync("mailbox=1/h")).Items).Key.ToString());
    }

    [Theory]
    [InlineData(ClassTreatment.Count, 3)]
    [InlineData(ClassTreatment.Exempt, 2)]
    public async Task Mail_of_a_class_that_no_limit_holds_for_is_never_stopped_and_counts(ClassTreatment treatment, long stopped)
    {
        _queue.Options.Classes[MessageClass.Forward] = treatment;
        for (int i = 0; i < 4; i++)
        {
            OfferedMessage message = _queue.Message(_queue.Account());
            await _queue.OfferAsync(i < 2 ? message with { Facts = message.Facts with { HasResentFields = true } } : message);
        }

        Assert.Equal(stopped, (await ReplayAsync("mailbox=1/h")).Stopped.Messages);
    }

    [Theory]
    [InlineData(MessageClass.Login)]
    [InlineData(MessageClass.Local)]
    [InlineData(MessageClass.Script)]
    [InlineData(MessageClass.Network)]
    [InlineData(MessageClass.Forward)]
    [InlineData(MessageClass.Automatic)]
    public async Task A_limit_of_one_class_stops_that_class_alone(MessageClass value)
    {
        using (var directory = new AccountDirectory(_queue.Store, _queue.Usage, _queue.Options, _queue.Time))
        {
            var accounts = new AccountAdministration(_queue.Store, _queue.Writer, directory, _queue.Usage, _queue.Time);
            AdminResult<LimitView> set = await accounts.SetLimitAsync(new AccountKey(Level.Server, "", value), null, "1/h", null, default);
            Assert.True(set.IsOk, set.Error?.Message);
        }
        foreach (MessageClass of in Enum.GetValues<MessageClass>())
        {
            await OfferAsync(of);
            await OfferAsync(of);
        }

        ReplayReport report = await ReplayAsync("mailbox=100/h");

        Assert.Equal(new ReplayItem(new AccountKey(Level.Server, "", value), "1/h", "own", OverLimitAction.Refuse, Start, new MailCount(1, 1), new MailCount(1, 1)), Assert.Single(report.Items));

        async Task OfferAsync(MessageClass of)
        {
            SenderAccount account = _queue.Account();
            account = of switch
            {
                MessageClass.Local or MessageClass.Script => account with { Identity = new SenderIdentity(IdentityKind.Uid, "web", Process: new PeerProcess(33)) },
                MessageClass.Network => account with { Identity = new SenderIdentity(IdentityKind.Network, "192.0.2.0/24") },
                _ => account,
            };
            OfferedMessage message = _queue.Message(account);
            Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(message with
            {
                Facts = message.Facts with { Class = of },
            })).Outcome);
        }
    }

    [Fact]
    public async Task Merged_refusals_count_as_often_as_they_were_spread_over_their_time()
    {
        for (int i = 0; i < 121; i++)
        {
            _queue.Writer.RecordRefusal(Refusal());
            _queue.Time.Advance(TimeSpan.FromMilliseconds(400));
        }
        await _queue.Writer.WriteAsync(_ => 0);

        ReplayReport report = await ReplayAsync("mailbox=70/h");

        Assert.Equal(21, report.Records);
        Assert.Equal(121, report.Offered.Messages);
        Assert.Equal(new MailCount(51, 51), report.Stopped);
        Assert.Equal(new MailCount(70, 70), report.NewlyPassed);
        Assert.InRange(report.First!.Value, Start.AddSeconds(27), Start.AddSeconds(29));
    }

    [Fact]
    public async Task More_objects_than_are_kept_end_it_with_one_line()
    {
        await _queue.AcceptAsync(_queue.Account("acme"));
        await _queue.AcceptAsync(_queue.Account("zeta"));
        _queue.Time.Advance(TimeSpan.FromSeconds(1));
        var replay = new LimitReplay(_queue.Store, _queue.Options, _queue.Time, maxObjects: 7);

        ReplayException error = await Assert.ThrowsAsync<ReplayException>(async () =>
        {
            await foreach (ReplayStep step in replay.RunAsync([], null, Start, default))
                Assert.Null(step.Report);
        });

        Assert.StartsWith("more than 7 objects sent in this time", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_changes_nothing_in_the_store_and_nothing_of_usage()
    {
        SenderAccount account = _queue.Account(limit: "2/h");
        await _queue.AcceptAsync(account);
        await _queue.AcceptAsync(account);
        string before = Contents();

        await ReplayAsync("server=1/d", "subscription=1/h");

        Assert.Equal(before, Contents());
        Assert.Equal(2, (await _queue.Usage.SnapshotAsync([account.Levels[2].Key], default)).Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, _queue.Usage.Now));
        Assert.Equal(OfferOutcome.Refused, (await _queue.OfferAsync(_queue.Message(account))).Outcome);
    }

    /// <summary>Whatever was offered: to try the limits that were in force says what really happened.</summary>
    [Fact]
    public void With_the_limits_that_were_in_force_nothing_would_have_been_otherwise()
    {
        Gen<string> limits = from count in Gen.Choose(1, 6) from form in Gen.Elements("/h", "/d", "/h:rcpt", "/h,9/d:rcpt") select $"{count}{form}";
        Gen<(int Who, int Recipients, int Minutes)[]> offers =
            (from who in Gen.Choose(0, 2) from recipients in Gen.Choose(1, 4) from minutes in Gen.Frequency((8, Gen.Choose(0, 20)), (1, Gen.Choose(30, 1600))) select (who, recipients, minutes)).ArrayOf();
        Prop.ForAll(limits.ArrayOf(5).ToArbitrary(), offers.ToArbitrary(), (sets, sent) => HoldsAsync(sets, sent).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(25));

        static async Task<bool> HoldsAsync(string[] sets, (int Who, int Recipients, int Minutes)[] sent)
        {
            using var queue = new QueueFixture();
            foreach ((int who, int recipients, int minutes) in sent)
            {
                queue.Time.Advance(TimeSpan.FromMinutes(minutes));
                SenderAccount account = queue.Account($"s{who}");
                account = account with { Levels = [.. account.Levels.Select((level, i) => level with { Limits = Parse(sets[i]) })] };
                await queue.OfferAsync(queue.Message(account, [.. Enumerable.Range(0, recipients).Select(n => $"r{n}@example.org")]));
            }
            ReplayReport report = await ReplayAsync(queue, Start, ["server=" + sets[0], "plan=" + sets[1], "subscription=" + sets[2], "domain=" + sets[3], "mailbox=" + sets[4]]);
            return report.NewlyStopped == default && report.NewlyPassed == default && report.Offered.Messages == sent.Length
                && report.Stopped.Messages == await queue.Count("decision", "outcome = 9");
        }
    }

    public void Dispose() => _queue.Dispose();

    private static DateTimeOffset Start { get; } = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    private static LimitSet Parse(string text) => LimitSet.TryParse(text, out LimitSet? limits) ? limits : throw new FormatException(text);

    private Task<ReplayReport> ReplayAsync(params string[] set) => ReplayAsync(Start, set);

    private Task<ReplayReport> ReplayAsync(DateTimeOffset since, params string[] set) => ReplayAsync(_queue, since, set);

    private static async Task<ReplayReport> ReplayAsync(QueueFixture queue, DateTimeOffset since, string[] set)
    {
        queue.Time.Advance(TimeSpan.FromSeconds(1));
        LimitProposal[] proposals = [.. set.Select(s => LimitProposal.TryParse(s, out LimitProposal? proposal, out string? fault) ? proposal : throw new FormatException(fault))];
        ReplayStep? last = null;
        await foreach (ReplayStep step in new LimitReplay(queue.Store, queue.Options, queue.Time).RunAsync(proposals, null, since, default))
            last = step;
        return last!.Report!;
    }

    private RefusedOffer Refusal() => new()
    {
        Id = _queue.NewId(),
        ReceivedAt = _queue.Time.GetUtcNow(),
        Source = new SubmissionSource("local", "client.test", "ESMTP"),
        Account = _queue.Account(),
        Identity = new SenderIdentity(IdentityKind.Login, "info@acme.test", IPAddress.Loopback),
        Envelope = Envelope.Begin(new ReversePath(MailboxAddress.Parse("info@acme.test"))),
        Decision = new Decision { Verdict = Verdict.Defer, Reason = Reasons.LimitReached, Reply = SmtpReply.Parse("451 4.7.1 hourly limit reached"), ReversePath = ReversePath.Null },
        Stage = "MAIL",
    };

    /// <summary>A digest of every row of every table.</summary>
    private string Contents()
    {
        using var connection = new SqliteConnection($"Data Source={_queue.File};Mode=ReadOnly;Pooling=False");
        connection.Open();
        var rows = new StringBuilder();
        List<string> tables = [.. Rows(connection, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%' order by name").Select(r => r.TrimEnd(';'))];
        foreach (string table in tables)
            rows.Append(table).AppendJoin('\n', Rows(connection, $"select * from {table}"));
        return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(rows.ToString())));
    }

    private static IEnumerable<string> Rows(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        using SqliteDataReader reader = command.ExecuteReader();
        while (reader.Read())
            yield return string.Concat(Enumerable.Range(0, reader.FieldCount).Select(i => (reader.GetValue(i) is byte[] blob ? Convert.ToHexString(blob) : $"{reader.GetValue(i)}") + ";"));
    }
}
