using System.Collections.Immutable;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;

namespace RelayGate.Tests.Delivery;

/// <summary>Who hears of an attempt, of whom, and how much of the message comes back.</summary>
public sealed class DsnPlannerTests
{
    private static readonly DsnPlanner Planner = NewPlanner(new RelayGateOptions { Hostname = "relay.test" });

    [Fact]
    public void A_relayed_report_names_those_alone_whose_next_hop_has_no_DSN()
    {
        RecipientResult[] results =
        [
            Result(0, DeliveryResult.Delivered, DsnNotify.Success) with { DsnPassedOn = true },
            Result(1, DeliveryResult.Delivered, DsnNotify.Success),
            Result(2, DeliveryResult.Delivered, DsnNotify.Default),
        ];

        Assert.Equal(["r1@dest.test"], Named(Plan(TimeSpan.Zero, results)!));
    }

    [Fact]
    public void A_delay_notice_names_each_recipient_once_whatever_the_others_have_had()
    {
        RecipientResult had = Result(0, DeliveryResult.Deferred);
        PreparedDsn notice = Plan(
            TimeSpan.FromHours(5), had with { Recipient = had.Recipient with { DelayNoticed = true } }, Result(1, DeliveryResult.Deferred), Result(2, DeliveryResult.Delivered))!;

        Assert.Equal(["r1@dest.test"], Named(notice));
        Assert.Equal(1, Assert.Single(notice.Delayed));
        Assert.Null(Plan(TimeSpan.FromHours(3), Result(1, DeliveryResult.Deferred)));
    }

    [Theory]
    [InlineData(DsnNotify.Default, true)]
    [InlineData(DsnNotify.Delay, true)]
    [InlineData(DsnNotify.Delay | DsnNotify.Failure, true)]
    [InlineData(DsnNotify.Failure, false)]
    [InlineData(DsnNotify.Success, false)]
    [InlineData(DsnNotify.Never, false)]
    public void A_delay_is_told_to_those_who_asked_for_it_or_for_nothing(DsnNotify notify, bool told) =>
        Assert.Equal(told, Plan(TimeSpan.FromHours(5), Result(0, DeliveryResult.Deferred, notify)) is not null);

    [Theory]
    [InlineData(0, 90, false)]
    [InlineData(30, 29, false)]
    [InlineData(30, 30, true)]
    public void A_delay_is_told_from_the_age_of_the_settings_on_or_never(int after, int age, bool told)
    {
        var options = new RelayGateOptions { Hostname = "relay.test" };
        options.Delivery.Retry.DelayNoticeAfter = TimeSpan.FromHours(after);

        Assert.Equal(told, Plan(NewPlanner(options), Message("x\r\n"), TimeSpan.FromHours(age), Result(0, DeliveryResult.Deferred)) is not null);
    }

    [Theory]
    [InlineData(DsnReturn.Unspecified, 1000, true)]
    [InlineData(DsnReturn.Full, 1000, true)]
    [InlineData(DsnReturn.Headers, 1000, false)]
    [InlineData(DsnReturn.Full, 60_000, false)] // Too large to send back.
    public void A_failure_returns_the_whole_message_unless_only_the_header_is_wanted_or_it_is_large(DsnReturn wanted, int octets, bool whole)
    {
        string body = "The first line.\r\n" + string.Concat(Enumerable.Repeat("0123456789\r\n", octets / 12));

        string report = Encoding.UTF8.GetString(Plan(Message(body) with { Return = wanted }, TimeSpan.Zero, Result(0, DeliveryResult.Failed))!.Body);

        Assert.Contains("Subject: hi\r\n", report, StringComparison.Ordinal);
        Assert.Equal(whole, report.Contains("The first line.", StringComparison.Ordinal));
        Assert.Contains(whole ? "Content-Type: message/rfc822\r\n" : "Content-Type: text/rfc822-headers\r\n", report, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_a_message_that_requires_TLS_only_the_header_comes_back_whatever_is_asked_for() => Assert.DoesNotContain(
        "The first line.",
        Encoding.UTF8.GetString(Plan(Message("The first line.\r\n") with { Return = DsnReturn.Full, RequiresTls = true }, TimeSpan.Zero, Result(0, DeliveryResult.Failed))!.Body),
        StringComparison.Ordinal);

    [Fact]
    public void A_body_in_the_store_is_not_returned()
    {
        QueuedMessage message = Message("") with { Body = MessageBody.InStore(400_000) };

        string report = Encoding.UTF8.GetString(Plan(message, TimeSpan.Zero, Result(0, DeliveryResult.Failed))!.Body);

        Assert.Contains("Content-Type: text/rfc822-headers\r\n", report, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DeliveryResult.Deferred)]
    [InlineData(DeliveryResult.Delivered)]
    public void Only_a_failure_returns_the_body(DeliveryResult result)
    {
        PreparedDsn dsn = Plan(Message("The first line.\r\n") with { Return = DsnReturn.Full }, TimeSpan.FromHours(5), Result(0, result, DsnNotify.Success | DsnNotify.Delay))!;

        Assert.DoesNotContain("The first line.", Encoding.UTF8.GetString(dsn.Body), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, "a@shop.test")]
    [InlineData(false, null)]
    public void Neither_a_report_nor_the_null_sender_gets_a_report(bool isDsn, string? reversePath)
    {
        QueuedMessage message = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray()), reversePath: reversePath) with { IsDsn = isDsn };

        Assert.Null(Plan(message, TimeSpan.FromDays(5), Result(0, DeliveryResult.Failed)));
    }

    private static DsnPlanner NewPlanner(RelayGateOptions options) => new(
        options, static (_, _) => new(new DsnOrigin(MailboxAddress.Parse("MAILER-DAEMON@relay.test"), [], IsToHosted: true)), static at => QueueId.Create(at, 7, 8));

    private static QueuedMessage Message(string body) => DeliveryHarness.Message(MessageBody.FromBytes(Encoding.ASCII.GetBytes(body)));

    private static RecipientResult Result(int position, DeliveryResult result, DsnNotify notify = DsnNotify.Default) => new(
        DeliveryHarness.Recipient($"r{position}@dest.test", position, notify), result,
        result switch { DeliveryResult.Delivered => "250 2.0.0 Ok", DeliveryResult.Failed => "550 5.1.1 No", _ => "451 4.3.0 Later" }, null, null);

    private static PreparedDsn? Plan(TimeSpan age, params RecipientResult[] results) => Plan(Message("x\r\n"), age, results);

    private static PreparedDsn? Plan(QueuedMessage message, TimeSpan age, params RecipientResult[] results) => Plan(Planner, message, age, results);

    private static PreparedDsn? Plan(DsnPlanner planner, QueuedMessage message, TimeSpan age, params RecipientResult[] results)
    {
        ImmutableArray<QueuedRecipient> recipients = [.. results.Select(r => r.Recipient)];
        Task<PreparedDsn?> planned = planner.PlanAsync(
            new DeliveryJob(message with { Recipients = recipients }, recipients),
            new DeliveryAttempt(DeliveryHarness.Now + age, TimeSpan.Zero, "rcpt", "mx.dest.test", "192.0.2.1:25", "127.0.0.1", null, [.. results])).AsTask();
        Assert.True(planned.IsCompleted);
        return planned.GetAwaiter().GetResult();
    }

    private static string[] Named(PreparedDsn dsn) =>
        [.. Encoding.UTF8.GetString(dsn.Body).Split("\r\n").Where(l => l.StartsWith("Final-Recipient:", StringComparison.Ordinal)).Select(l => l.Split(';')[1].Trim())];
}
