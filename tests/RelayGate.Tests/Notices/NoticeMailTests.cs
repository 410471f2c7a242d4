using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Notices;

/// <summary>Notices by mail through a whole gateway, to a real next hop.</summary>
public sealed class NoticeMailTests
{
    private static readonly Notice Exceeded = new()
    {
        Kind = NoticeKind.Exceeded,
        Level = "domain",
        Name = "shop.test",
        Subscription = "acme",
        Limit = "200/h",
        Used = 200,
        Refused = 7,
        Sources = [new NoticeSource("script", "/var/www/shop/mail.php", 180)],
        Ref = "01JADE0000000000000000000A",
    };

    private static Notice Of(NoticeKind kind, string name = "shop.test") => Exceeded with { Kind = kind, Name = name };

    [Fact]
    public async Task An_alarm_is_mailed_to_the_administrator_at_once_and_says_what_happened_and_what_to_do()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Notices.Administrator = "admin@ops.test");

        Assert.True(gateway.Get<NoticeBoard>().Raise(Exceeded));
        ReceivedMessage mail = await hop.NextAsync();

        Assert.Equal("MAIL FROM:<>", mail.Mail.Split(" SIZE")[0].Split(" BODY")[0]);
        Assert.Equal("RCPT TO:<admin@ops.test>", mail.Rcpts[0].Split(" NOTIFY")[0]);
        Assert.Contains("\r\nSubject: [RelayGate relay.test] exceeded: domain shop.test, 200 of 200/h\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("\r\nAuto-Submitted: auto-generated\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("From: RelayGate <relaygate@relay.test>\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("script /var/www/shop/mail.php: 180 messages", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate limit show domain shop.test", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate domain suspend shop.test", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate message explain 01JADE0000000000000000000A", mail.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_mail_stands_in_the_log_of_messages_and_counts_for_nobody()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);

        gateway.Get<NoticeBoard>().Raise(Exceeded);
        await hop.NextAsync();

        MessageItem item = Assert.Single((await gateway.Get<MessageLog>().ListAsync(new MessageQuery(), null, CancellationToken.None))!.Items);
        Assert.Equal(RelayGate.Queue.RecordKind.Notice, item.Kind);
        Assert.Equal("notice", item.Identity);
        Assert.Null(item.Subscription);
        Assert.Equal("postmaster@relay.test", Assert.Single(item.Recipients));
        LimitView server = (await gateway.Get<AccountAdministration>().ShowLimitAsync(RelayGate.Core.Policy.AccountKey.Server, CancellationToken.None)).Value!;
        Assert.All(server.Uses, use => Assert.Equal(0, use.Used));
    }

    [Fact]
    public async Task What_follows_within_the_period_comes_in_one_digest_and_then_silence()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        NoticeBoard board = gateway.Get<NoticeBoard>();
        board.Raise(Exceeded);
        await hop.NextAsync();

        for (int i = 0; i < 5; i++)
            board.Raise(Of(NoticeKind.Exceeded, $"d{i}.test"));
        board.Raise(Of(NoticeKind.Recovered));
        await NoticesAsync(gateway, 7);
        time.Advance(TimeSpan.FromMinutes(59));
        Assert.Empty(hop.Messages);
        time.Advance(TimeSpan.FromMinutes(1));
        ReceivedMessage digest = await hop.NextAsync();

        Assert.Matches(@"Subject: \[RelayGate relay.test\] exceeded: domain d\d.test, 200 of 200/h \(\+5 more\)\r\n", digest.Text);
        Assert.Contains("Domain shop.test has room again", digest.Text, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromHours(5));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task The_first_alarm_of_another_kind_does_not_wait()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: new ManualTimeProvider());
        NoticeBoard board = gateway.Get<NoticeBoard>();
        board.Raise(Of(NoticeKind.Warning));
        await hop.NextAsync();

        board.Raise(Exceeded);

        Assert.Contains("exceeded: domain shop.test", (await hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    private static async Task NoticesAsync(TestGateway gateway, int count)
    {
        for (int i = 0; i < 500; i++)
        {
            long stored = await gateway.Get<RelayGate.Storage.SqliteRelayStore>().ReadAsync(db =>
            {
                using System.Data.Common.DbCommand command = db.CreateCommand();
                command.CommandText = "select count(*) from notice";
                return Convert.ToInt64(command.ExecuteScalar());
            }, CancellationToken.None);
            if (stored == count)
                return;
            await Task.Delay(20);
        }
        Assert.Fail("The notices were not stored");
    }
}
