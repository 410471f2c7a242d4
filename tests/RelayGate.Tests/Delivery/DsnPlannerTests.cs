using System.Collections.Immutable;
using System.Net;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
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
    [InlineData("", ReplyClass.Transient, 4)]
    [InlineData("google", ReplyClass.Transient, 2)]
    [InlineData("google", ReplyClass.Rate, 1)]
    [InlineData("elsewhere.test", ReplyClass.Rate, 1)]
    [InlineData("google", ReplyClass.IpBlocked, 2)]
    public void A_delay_notice_says_how_long_it_will_be_tried_by_the_schedule_of_provider_and_class(string provider, ReplyClass about, int days)
    {
        var options = new RelayGateOptions { Hostname = "relay.test" };
        options.Delivery.Providers["google"] = new ProviderOptions { Retry = new RetryOverride { GiveUpAfter = TimeSpan.FromDays(2) } };
        options.Delivery.Retry.Classes["rate"] = new RetryOverride { GiveUpAfter = TimeSpan.FromDays(1) };
        DeliveryAttempt attempt = Deferred(options, provider, about, TimeSpan.FromHours(5), TimeSpan.FromHours(24));

        string report = Encoding.UTF8.GetString(Plan(NewPlanner(options), Message("x\r\n"), attempt)!.Body);

        string until = MailDate.Format(DeliveryHarness.Now.AddDays(days));
        Assert.Contains($"Will-Retry-Until: {until}\r\n", report, StringComparison.Ordinal);
        Assert.Contains($"It will be tried until {until}.", report, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 24, 4 * 60)] // At the time of the notice, not when the pause ends.
    [InlineData(0, 2, 2 * 60)]
    [InlineData(5, 24, 29 * 60)] // It has been told.
    [InlineData(90, 24, 96 * 60)] // At the end.
    public void What_waits_for_its_address_is_looked_at_again_in_time_for_the_notice_of_its_delay(int age, int pause, int minutes)
    {
        DeliveryAttempt attempt = Deferred(new RelayGateOptions(), "google", ReplyClass.IpBlocked, TimeSpan.FromHours(age), TimeSpan.FromHours(pause));

        Assert.Equal(("ip 192.0.2.11 google", DeliveryHarness.Now.AddMinutes(minutes)), (attempt.Results[0].WaitsFor!.Value.Text, attempt.Results[0].NextAttempt));
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

    private static PreparedDsn? Plan(DsnPlanner planner, QueuedMessage message, TimeSpan age, params RecipientResult[] results) =>
        Plan(planner, message, new DeliveryAttempt(DeliveryHarness.Now + age, TimeSpan.Zero, "rcpt", "mx.dest.test", "192.0.2.1:25", "127.0.0.1", null, [.. results]));

    /// <summary>What is recorded of a recipient that was refused at some age, and perhaps the address with it.</summary>
    private static DeliveryAttempt Deferred(RelayGateOptions options, string provider, ReplyClass about, TimeSpan age, TimeSpan pause)
    {
        QueuedMessage message = Message("x\r\n") with { Recipients = [DeliveryHarness.Recipient("r0@dest.test", 0, DsnNotify.Default)] };
        var result = new AttemptResult(1, TimeProvider.System)
        {
            Provider = provider,
            AddressWait = about.ConcernsEgress() ? (WaitKey.Ip(IPAddress.Parse("192.0.2.11"), provider), DeliveryHarness.Now + age + pause) : null,
        };
        result.Outcomes[0] = new RecipientOutcome(OutcomeKind.Deferred, "4.7.1", "451 4.7.1 Later", 451) { Finding = new ReplyFinding(about, provider) };
        return new AttemptRecorder(options.Delivery).Record(new DeliveryJob(message, message.Recipients), result, DeliveryHarness.Now + age, TimeSpan.Zero, 0.5);
    }

    private static PreparedDsn? Plan(DsnPlanner planner, QueuedMessage message, DeliveryAttempt attempt)
    {
        ImmutableArray<QueuedRecipient> recipients = [.. attempt.Results.Select(r => r.Recipient)];
        Task<PreparedDsn?> planned = planner.PlanAsync(new DeliveryJob(message with { Recipients = recipients }, recipients), attempt).AsTask();
        Assert.True(planned.IsCompleted);
        return planned.GetAwaiter().GetResult();
    }

    private static string[] Named(PreparedDsn dsn) =>
        [.. Encoding.UTF8.GetString(dsn.Body).Split("\r\n").Where(l => l.StartsWith("Final-Recipient:", StringComparison.Ordinal)).Select(l => l.Split(';')[1].Trim())];
}
