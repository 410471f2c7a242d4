using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using static RelayGate.Core.Tests.Policy.PolicySamples;

namespace RelayGate.Core.Tests.Policy;

public class RelayPolicyTests
{
    [Fact]
    public void A_sender_with_room_is_accepted_with_its_levels_and_its_egress()
    {
        SenderAccount account = Limited(Login, Level.Mailbox, "5/h,20/d:rcpt") with { Egress = EgressChoice.SystemDefault with { Helo = "mail.shop.test" } };

        Decision decision = RelayPolicy.Decide(account, Used(account, 9, 7, 5, 4, 3), From("info@shop.test", recipients: 2), Facts);

        Assert.Equal((Verdict.Accept, Reasons.Accepted, 250), (decision.Verdict, decision.Reason, decision.Reply.Code));
        Assert.Equal("info@shop.test", decision.ReversePath.Text);
        Assert.Empty(decision.Corrections);
        Assert.Equal("mail.shop.test", decision.Egress.Helo);
        Assert.Null(decision.Stopped);
        Assert.Equal(
            ["server 9+1", "plan basic 7+1", "subscription shop 5+1", "domain shop.test 4+1", "mailbox info@shop.test 3+1 of 5/h", "mailbox info@shop.test 3+2 of 20/d:rcpt"],
            decision.Levels.Select(l => $"{l.Key} {l.Used}+{l.Cost}{(l.Limit is { } limit ? $" of {limit}" : "")}"));
    }

    [Fact]
    public void Who_proved_nothing_is_asked_to_log_in()
    {
        var nobody = new SenderAccount { Identity = SenderIdentity.Anonymous(IPAddress.Parse("192.0.2.7")) };

        Refused(RelayPolicy.Decide(nobody, Used(nobody), From("info@shop.test"), null), Reasons.AuthenticationRequired, "530 5.7.0");
    }

    [Fact]
    public void A_login_whose_mailbox_is_gone_is_asked_to_log_in_anew()
    {
        SenderAccount gone = new() { Identity = Login.Identity };

        Refused(RelayPolicy.Decide(gone, Used(gone), From("info@shop.test"), null), Reasons.AuthenticationRequired, "530 5.7.0");
    }

    [Fact]
    public void A_uid_of_no_subscription_is_refused_with_the_remedy()
    {
        SenderAccount unknown = new() { Identity = Uid.Identity };

        Decision decision = RelayPolicy.Decide(unknown, Used(unknown), From("info@shop.test"), null);

        Refused(decision, Reasons.UnknownUid, "550 5.7.1");
        Assert.Contains("--system-user #1001", decision.Reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_listed_network_sends_for_hosted_domains_only()
    {
        SenderAccount foreign = new() { Identity = new SenderIdentity(IdentityKind.Network, "192.0.2.0/24", IPAddress.Parse("192.0.2.7")) };

        Refused(RelayPolicy.Decide(foreign, Used(foreign), From("a@elsewhere.test"), null), Reasons.NetworkSenderNotHosted, "530 5.7.0");
    }

    [Fact]
    public void The_suspended_level_is_named()
    {
        SenderAccount account = Login with { Suspended = SuspendedObject.Of(new AccountKey(Level.Domain, "shop.test")) };

        Decision decision = RelayPolicy.Decide(account, Used(account), From("info@shop.test"), null);

        Refused(decision, Reasons.Suspended, "550 5.7.1");
        Assert.StartsWith("domain shop.test is suspended", decision.Reply.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SenderMode.Correct)]
    [InlineData(SenderMode.Reject)]
    [InlineData(SenderMode.Trust)]
    public void Another_subscriptions_domain_is_refused_in_every_mode_in_envelope_and_From(SenderMode mode)
    {
        SenderAccount envelope = Uid with { SenderMode = mode, ReversePathOwner = DomainOwner.Other };
        SenderAccount header = Uid with { SenderMode = mode, HeaderFromOwner = DomainOwner.Other };

        Refused(RelayPolicy.Decide(envelope, Used(envelope), From("ceo@bank.test"), null), Reasons.SenderOfOtherSubscription, "550 5.7.1");
        Refused(RelayPolicy.Decide(header, Used(header), From("info@shop.test"), Facts), Reasons.SenderOfOtherSubscription, "550 5.7.1");
        Refused(RelayPolicy.Decide(header, Used(header), From(""), Facts), Reasons.SenderOfOtherSubscription, "550 5.7.1");
    }

    [Fact]
    public void A_network_trusted_for_all_may_name_any_hosted_domain()
    {
        SenderAccount panel = Uid with
        {
            Identity = new SenderIdentity(IdentityKind.Network, "192.0.2.0/24"),
            TrustsAnySender = true,
            ReversePathOwner = DomainOwner.Other,
            HeaderFromOwner = DomainOwner.Other,
        };

        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(panel, Used(panel), From("ceo@bank.test"), Facts).Verdict);
    }

    [Fact]
    public void A_login_that_is_corrected_sends_as_its_mailbox_and_the_original_is_told()
    {
        Decision decision = RelayPolicy.Decide(Login, Used(Login), From("sales@shop.test"), Facts);

        Assert.Equal(Verdict.Accept, decision.Verdict);
        Assert.Equal("info@shop.test", decision.ReversePath.Text);
        Correction correction = Assert.Single(decision.Corrections);
        Assert.Equal(("reverse-path", "sales@shop.test", "info@shop.test"), (correction.What, correction.Original, correction.Replacement));
    }

    [Fact]
    public void A_login_whose_sender_is_rejected_hears_which_address_it_may_use()
    {
        SenderAccount account = Login with { SenderMode = SenderMode.Reject };

        Decision decision = RelayPolicy.Decide(account, Used(account), From("sales@shop.test"), null);

        Refused(decision, Reasons.SenderNotOwned, "553 5.7.1");
        Assert.Contains("use info@shop.test", decision.Reply.Text, StringComparison.Ordinal);
        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(account, Used(account), From("info@SHOP.test"), null).Verdict);
    }

    [Fact]
    public void A_trusted_sender_is_left_as_it_is()
    {
        SenderAccount account = Uid with { ReversePathOwner = DomainOwner.NotHosted };

        Decision decision = RelayPolicy.Decide(account, Used(account), From("www-data@vps123.test"), Facts);

        Assert.Equal((Verdict.Accept, "www-data@vps123.test"), (decision.Verdict, decision.ReversePath.Text));
        Assert.Empty(decision.Corrections);
    }

    [Theory]
    [InlineData(SenderMode.Correct)]
    [InlineData(SenderMode.Reject)]
    [InlineData(SenderMode.Trust)]
    public void The_null_reverse_path_is_never_corrected_and_is_counted(SenderMode mode)
    {
        SenderAccount account = Limited(Login with { SenderMode = mode, ReversePathOwner = DomainOwner.NotHosted }, Level.Mailbox, "1/h");

        Decision decision = RelayPolicy.Decide(account, Used(account), From(""), Facts);
        Decision full = RelayPolicy.Decide(account, Used(account, 1, 1, 1, 1, 1), From(""), Facts);

        Assert.Equal(Verdict.Accept, decision.Verdict);
        Assert.True(decision.ReversePath.IsNull);
        Refused(full, Reasons.LimitReached, "451 4.7.1");
    }

    [Theory]
    [InlineData(SenderMode.Correct)]
    [InlineData(SenderMode.Reject)]
    [InlineData(SenderMode.Trust)]
    public void Local_mail_without_a_sender_gets_the_From_address_of_its_own_domain_or_the_users(SenderMode mode)
    {
        SenderAccount ownFrom = Uid with { SenderMode = mode, ReversePathOwner = DomainOwner.NotHosted, HeaderFromOwner = DomainOwner.Own };
        SenderAccount foreignFrom = ownFrom with { HeaderFromOwner = DomainOwner.NotHosted, OwnedDomains = [] };

        Assert.Equal("info@shop.test", RelayPolicy.Decide(ownFrom, Used(ownFrom), From("shopuser"), Facts).ReversePath.Text);
        Assert.Equal("shopuser@shop.test", RelayPolicy.Decide(foreignFrom, Used(foreignFrom), From("shopuser"), Facts).ReversePath.Text);
    }

    [Fact]
    public void A_From_address_beyond_ASCII_is_not_put_into_an_envelope_without_SMTPUTF8()
    {
        SenderAccount account = Uid with { ReversePathOwner = DomainOwner.NotHosted, HeaderFromOwner = DomainOwner.Own };
        MessageFacts facts = Facts with { From = [MailboxAddress.Parse("jürgen@shop.test")] };

        Assert.Equal("shopuser@shop.test", RelayPolicy.Decide(account, Used(account), From("shopuser"), facts).ReversePath.Text);
        Assert.Equal("jürgen@shop.test", RelayPolicy.Decide(account, Used(account), From("shopuser") with { SmtpUtf8 = true }, facts).ReversePath.Text);
    }

    public static TheoryData<MessageFacts, string, string> BadContent => new()
    {
        { Facts with { FromFields = 2 }, Reasons.TwoFromFields, "550 5.6.0" },
        { Facts with { FromFields = 0, From = [] }, Reasons.NoFromField, "550 5.6.0" },
        { Facts with { FromUnreadable = true }, Reasons.BadHeader, "550 5.6.0" },
        { Facts with { HeaderIsMalformed = true }, Reasons.BadHeader, "550 5.6.0" },
        { Facts with { ReceivedFields = 101 }, Reasons.MailLoop, "554 5.4.6" },
        { Facts with { Octets = 10_001 }, Reasons.MessageTooLarge, "552 5.3.4" },
    };

    [Theory]
    [MemberData(nameof(BadContent))]
    public void Content_that_may_not_go_on_is_refused(MessageFacts facts, string reason, string reply) =>
        Refused(RelayPolicy.Decide(Login, Used(Login), From("info@shop.test"), facts), reason, reply);

    [Fact]
    public void What_is_just_within_bounds_goes_on()
    {
        MessageFacts facts = Facts with { ReceivedFields = 100, Octets = 10_000 };
        MessageFacts noFrom = Facts with { FromFields = 0, From = [] };

        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(Login, Used(Login), From("info@shop.test") with { DeclaredOctets = 10_000 }, facts).Verdict);
        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(Uid, Used(Uid), From("info@shop.test"), noFrom).Verdict); // One is added for local mail.
    }

    [Fact]
    public void A_declared_size_counts_until_the_real_one_is_known()
    {
        Envelope declared = From("info@shop.test") with { DeclaredOctets = 10_001 };

        Refused(RelayPolicy.Decide(Login, Used(Login), declared, null), Reasons.MessageTooLarge, "552 5.3.4");
        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(Login, Used(Login), declared, Facts).Verdict);
    }

    [Theory]
    [InlineData(Level.Server, "server hourly limit reached: 3/3 messages, next possible 15:02 UTC")]
    [InlineData(Level.Plan, "plan basic hourly limit reached: 3/3 messages, next possible 15:02 UTC")]
    [InlineData(Level.Subscription, "subscription shop hourly limit reached: 3/3 messages, next possible 15:02 UTC")]
    [InlineData(Level.Domain, "domain shop.test hourly limit reached: 3/3 messages, next possible 15:02 UTC")]
    [InlineData(Level.Mailbox, "mailbox info@shop.test hourly limit reached: 3/3 messages, next possible 15:02 UTC")]
    public void Each_level_stops_at_its_own_limit_and_says_so(Level level, string text)
    {
        SenderAccount account = Limited(Login, level, "3/h");
        UsageView before = Used(account, 2, 2, 2, 2, 2);

        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(account, before, From("info@shop.test"), Facts).Verdict);
        Decision decision = RelayPolicy.Decide(account, Used(account, 3, 3, 3, 3, 3), From("info@shop.test"), Facts);

        Refused(decision, Reasons.LimitReached, "451 4.7.1");
        Assert.Equal(text, decision.Reply.Text);
        Assert.Equal((level, 3L, 1L), (decision.Stopped!.Key.Level, decision.Stopped.Used, decision.Stopped.Cost));
        Assert.Equal(new DateTimeOffset(2026, 11, 23, 15, 2, 0, TimeSpan.Zero), decision.NextPossible);
        Assert.Equal(decision.Stopped, decision.Levels[^1]);
        Assert.Equal((int)level + 1, decision.Levels.Length);
    }

    [Fact]
    public void The_outermost_full_level_is_named_and_the_time_is_when_all_have_room()
    {
        SenderAccount account = Limited(Limited(Login, Level.Subscription, "2/h"), Level.Mailbox, "2/d");

        Decision decision = RelayPolicy.Decide(account, Used(account, 2, 2, 2, 2, 2), From("info@shop.test"), Facts);

        Assert.Equal("subscription shop hourly limit reached: 2/2 messages, next possible 2026-11-24 15:00 UTC", decision.Reply.Text);
    }

    [Fact]
    public void Messages_and_recipients_are_counted_apart_and_a_message_goes_whole_or_not_at_all()
    {
        SenderAccount account = Limited(Login, Level.Domain, "100/h,5/h:rcpt");
        UsageView used = Used(account, 3, 3, 3, 3, 3);

        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(account, used, From("info@shop.test", recipients: 2), Facts).Verdict);
        Decision decision = RelayPolicy.Decide(account, used, From("info@shop.test", recipients: 3), Facts);
        Refused(decision, Reasons.LimitReached, "451 4.7.1");
        Assert.Contains("3/5 recipients, this message adds 3", decision.Reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void More_recipients_than_the_whole_limit_are_refused_for_good()
    {
        SenderAccount account = Limited(Login, Level.Plan, "5/h:rcpt");

        Refused(RelayPolicy.Decide(account, Used(account), From("info@shop.test", recipients: 6), Facts), Reasons.TooManyRecipientsForLimit, "550 5.7.1");
        Assert.Equal(Verdict.Accept, RelayPolicy.Decide(account, Used(account), From("info@shop.test", recipients: 5), Facts).Verdict);
    }

    [Fact]
    public void Over_the_limit_a_level_may_reject_for_good()
    {
        SenderAccount account = Limited(Login, Level.Mailbox, "1/h", OverLimitAction.Reject);

        Refused(RelayPolicy.Decide(account, Used(account, 1, 1, 1, 1, 1), From("info@shop.test"), null), Reasons.LimitReached, "550 5.7.1");
    }

    [Fact]
    public void A_level_that_is_full_refuses_already_at_MAIL()
    {
        SenderAccount account = Limited(Login, Level.Mailbox, "1/h:rcpt");

        Refused(RelayPolicy.Decide(account, Used(account, 1, 1, 1, 1, 1), From("info@shop.test", recipients: 0), null), Reasons.LimitReached, "451 4.7.1");
    }

    [Fact]
    public void Forbidden_is_refused_for_good_and_exempt_senders_are_only_counted()
    {
        SenderAccount forbidden = Limited(Login, Level.Domain, "forbidden");
        SenderAccount full = Limited(Login, Level.Domain, "1/h") with { IsExemptFromLimits = true };

        Refused(RelayPolicy.Decide(forbidden, Used(forbidden), From("info@shop.test"), Facts), Reasons.SendingForbidden, "550 5.7.1");
        Decision decision = RelayPolicy.Decide(full, Used(full, 7, 7, 7, 7, 7), From("info@shop.test", recipients: 2), Facts);
        Assert.Equal((Verdict.Accept, 7L), (decision.Verdict, decision.Levels[3].Used));
    }

    [Fact]
    public void Who_may_not_send_learns_that_first_and_limits_only_then()
    {
        SenderAccount suspended = Limited(Login, Level.Mailbox, "1/h") with { Suspended = SuspendedObject.Of(new AccountKey(Level.Plan, "basic")) };

        Refused(RelayPolicy.Decide(suspended, Used(suspended, 1, 1, 1, 1, 1), From("info@shop.test"), Facts), Reasons.Suspended, "550 5.7.1");
    }

    private static void Refused(Decision decision, string reason, string reply)
    {
        Assert.Equal(reason, decision.Reason);
        Assert.Equal(reply[0] == '4' ? Verdict.Defer : Verdict.Refuse, decision.Verdict);
        Assert.StartsWith(reply, decision.Reply.ToString(), StringComparison.Ordinal);
        Assert.InRange(decision.Reply.WithRef(QueueId.Create(Now, 1, 2)).ToWire().Length, 1, 200 + 2);
    }
}
