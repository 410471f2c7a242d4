using System.Text;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using static RelayGate.Core.Tests.Policy.PolicySamples;

namespace RelayGate.Core.Tests.Policy;

/// <summary>Of which class a message is, by identity, envelope and header section.</summary>
public class MessageClassTests
{
    private const string One = "Received: from a by b; Mon, 23 Nov 2026 14:00:00 +0000\r\n";

    [Theory]
    // What the identity writes itself.
    [InlineData("login", "info@shop.test", "", MessageClass.Login)]
    [InlineData("uid", "shopuser@shop.test", "", MessageClass.Local)]
    [InlineData("network", "info@shop.test", "", MessageClass.Network)]
    [InlineData("login", "info@shop.test", "Auto-Submitted: no\r\n", MessageClass.Login)]
    [InlineData("login", "info@shop.test", "Auto-Submitted: no (really)\r\n", MessageClass.Login)]
    [InlineData("login", "info@shop.test", "Precedence: bulk\r\n", MessageClass.Login)]
    [InlineData("uid", "list-bounces@shop.test", "List-Id: <list.shop.test>\r\nPrecedence: list\r\n" + One, MessageClass.Local)]
    [InlineData("login", "info@shop.test", One + One, MessageClass.Login)]
    // Automatic comes first.
    [InlineData("login", "", "", MessageClass.Automatic)]
    [InlineData("network", "", One + One + One + One, MessageClass.Automatic)]
    [InlineData("login", "info@shop.test", "Auto-Submitted: auto-replied\r\n", MessageClass.Automatic)]
    [InlineData("uid", "root@shop.test", "AUTO-SUBMITTED:\r\n auto-generated\r\nX-PHP-Originating-Script: 1001:a.php\r\n", MessageClass.Automatic)]
    [InlineData("login", "info@shop.test", "Auto-Submitted: nothing-of-the-kind\r\n", MessageClass.Automatic)]
    // Passed on.
    [InlineData("login", "info@shop.test", "Resent-From: info@shop.test\r\n", MessageClass.Forward)]
    [InlineData("login", "info@shop.test", "Resent-Message-ID: <x@shop.test>\r\n", MessageClass.Forward)]
    [InlineData("login", "info@shop.test", "Resent-Bcc: a@example.org\r\n", MessageClass.Forward)]
    [InlineData("network", "srs0=x@shop.test", One + One + One, MessageClass.Forward)]
    [InlineData("uid", "shopuser@shop.test", One + One + One + "X-PHP-Originating-Script: 1001:a.php\r\n", MessageClass.Forward)]
    // A script says so itself, and its uid is the process's.
    [InlineData("uid", "shopuser@shop.test", "X-PHP-Originating-Script: 1001:form.php\r\n", MessageClass.Script)]
    [InlineData("uid", "shopuser@shop.test", "X-PHP-Originating-Script: 1002:form.php\r\n", MessageClass.Local)]
    [InlineData("uid", "shopuser@shop.test", "X-PHP-Originating-Script: form.php\r\n", MessageClass.Local)]
    [InlineData("login", "info@shop.test", "X-PHP-Originating-Script: 1001:form.php\r\n", MessageClass.Login)]
    public void A_message_is_of_one_class(string identity, string reversePath, string header, MessageClass expected)
    {
        MessageFacts facts = HeaderSection.Parse(Encoding.ASCII.GetBytes("From: info@shop.test\r\n" + header)).ToFacts(100, default);

        SenderAccount account = Account(identity) with { HeaderFromOwner = DomainOwner.Own };
        facts = facts with { Script = SendingScript.Of(account.Identity.Process, facts.PhpScript, null) };
        Decision decision = RelayPolicy.Decide(account, Used(account), From(reversePath), facts);

        Assert.Equal(expected, decision.Class);
    }

    [Theory]
    [InlineData(0, DomainOwner.NotHosted, DomainOwner.NotHosted, MessageClass.Network)] // Written here, by somebody with a foreign address.
    [InlineData(1, DomainOwner.NotHosted, DomainOwner.NotHosted, MessageClass.Forward)]
    [InlineData(1, DomainOwner.Own, DomainOwner.NotHosted, MessageClass.Network)] // Of a mailing list: it sends under its own reverse-path.
    [InlineData(1, DomainOwner.NotHosted, DomainOwner.Own, MessageClass.Network)]
    public void What_was_delivered_before_and_has_no_sender_of_ours_is_a_forward(int received, DomainOwner reversePath, DomainOwner author, MessageClass expected)
    {
        SenderAccount account = Account("network") with { ReversePathOwner = reversePath, HeaderFromOwner = author };

        Assert.Equal(expected, MessageClasses.Of(account, From("a@example.org"), Facts with { ReceivedFields = received }));
    }

    [Fact]
    public void A_limit_of_one_class_counts_and_stops_mail_of_that_class_alone()
    {
        SenderAccount account = Login with
        {
            Levels = Login.Levels.Insert(3, new LevelLimit(Keys[2] with { Class = MessageClass.Forward }, Parse("2/h"), "own")),
        };
        UsageView full = Used(account, 5, 5, 5, 2);
        MessageFacts forward = Facts with { HasResentFields = true };

        Decision stopped = RelayPolicy.Decide(account, full, From("info@shop.test"), forward);

        Assert.Equal("451 4.7.1 subscription shop class forward hourly limit reached: 2/2 messages, next possible 15:02 UTC", stopped.Reply.ToString());
        Assert.True(RelayPolicy.Decide(account, Used(account, 5, 5, 5, 1), From("info@shop.test"), forward).IsAccepted);
        Decision other = RelayPolicy.Decide(account, full, From("info@shop.test"), Facts);
        Assert.True(other.IsAccepted);
        Assert.DoesNotContain(other.Levels, static l => l.Key.Class is not null);
        Assert.True(RelayPolicy.Decide(account, full, From("info@shop.test"), null).IsAccepted); // At MAIL nobody knows yet.
    }

    [Fact]
    public void Null_reverse_path_is_automatic_at_mail_already()
    {
        SenderAccount account = Login with
        {
            Levels = Login.Levels.Insert(5, new LevelLimit(Keys[4] with { Class = MessageClass.Automatic }, LimitSet.Forbidden, "own")),
        };

        Assert.Equal(Reasons.SendingForbidden, RelayPolicy.Decide(account, Used(account), From(""), null).Reason);
        Assert.True(RelayPolicy.Decide(account, Used(account), From("info@shop.test"), null).IsAccepted);
    }

    [Fact]
    public void An_exempt_class_is_not_limited_and_no_other_one_gains()
    {
        SenderAccount account = Limited(Login, Level.Mailbox, "1/h") with { ExemptClasses = [MessageClass.Automatic] };
        UsageView full = Used(account, 1, 1, 1, 1, 1);

        Decision reply = RelayPolicy.Decide(account, full, From("info@shop.test"), Facts with { IsAutoSubmitted = true });
        Assert.True(reply is { IsAccepted: true, IsExempt: true });
        Assert.True(RelayPolicy.Decide(account, full, From(""), null).IsAccepted);
        Assert.True(RelayPolicy.Decide(account, full, From("info@shop.test"), null).IsAccepted); // It may be an automatic one: that is seen at the end of data.
        Assert.Equal(Reasons.LimitReached, RelayPolicy.Decide(account, full, From("info@shop.test"), Facts).Reason);

        SenderAccount scripts = account with { ExemptClasses = [MessageClass.Script] }; // A login is no script, so that MAIL is refused as before.
        Assert.Equal(Reasons.LimitReached, RelayPolicy.Decide(scripts, full, From("info@shop.test"), null).Reason);
    }

    private static SenderAccount Account(string identity) => identity switch
    {
        "login" => Login,
        "uid" => Uid,
        _ => Uid with { Identity = new SenderIdentity(IdentityKind.Network, "192.0.2.0/24") },
    };

    private static LimitSet Parse(string text) => LimitSet.TryParse(text, out LimitSet? limits) ? limits : throw new FormatException(text);
}
