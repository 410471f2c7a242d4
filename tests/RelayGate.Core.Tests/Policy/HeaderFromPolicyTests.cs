using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using static RelayGate.Core.Tests.Policy.PolicySamples;

namespace RelayGate.Core.Tests.Policy;

/// <summary>What becomes of a header From that is not the sender's, and which addresses are.</summary>
public class HeaderFromPolicyTests
{
    private static readonly MessageFacts Foreign = Facts with { From = [MailboxAddress.Parse("ann@bank.example")] };

    [Theory]
    [InlineData(HeaderFromMode.Off, "accepted", null)]
    [InlineData(HeaderFromMode.Sender, "accepted", "Sender:  -> info@shop.test")]
    [InlineData(HeaderFromMode.Rewrite, "accepted", "From: ann@bank.example -> info@shop.test")]
    [InlineData(HeaderFromMode.Refuse, "from-not-owned", null)]
    public void Each_mode_treats_a_foreign_author(HeaderFromMode mode, string reason, string? correction)
    {
        Decision decision = Decide(Login with { HeaderFromMode = mode }, "info@shop.test", Foreign);

        Assert.Equal(reason, decision.Reason);
        Assert.Equal(correction is null ? [] : [correction], decision.Corrections.Select(c => $"{c.What}: {c.Original} -> {c.Replacement}"));
        Assert.Equal(correction is null ? null : new HeaderFromTreatment(mode, Info), decision.HeaderFrom);
        if (mode == HeaderFromMode.Refuse)
            Assert.Equal("550 5.7.1 The From field names an address that is not this login's; use info@shop.test", decision.Reply.ToString());
    }

    [Theory]
    [InlineData("info@shop.test")]
    [InlineData("INFO@Shop.Test")]
    [InlineData("\"info\"@shop.test")]
    [InlineData("sales@shop.test")] // An alias.
    public void An_author_that_is_owned_stays_in_every_mode(string author)
    {
        foreach (HeaderFromMode mode in Enum.GetValues<HeaderFromMode>())
        {
            SenderAccount account = Login with { HeaderFromMode = mode, Aliases = ["sales@shop.test"] };
            Decision decision = Decide(account, "info@shop.test", Facts with { From = [MailboxAddress.Parse(author)] });
            Assert.True(decision is { IsAccepted: true, HeaderFrom: null, Corrections: [] }, $"{mode}: {decision.Reply}");
        }
    }

    [Theory]
    [InlineData("sales@shop.test", "sales@shop.test")] // An alias.
    [InlineData("SALES@shop.test", "SALES@shop.test")]
    [InlineData("boss@shop.test", "info@shop.test")]
    [InlineData("info@shop.test.evil.example", "info@shop.test")]
    [InlineData("info@sub.shop.test", "info@shop.test")]
    [InlineData("", "")]
    public void The_reverse_path_of_a_login_is_its_own_or_an_alias(string given, string leavesAs) =>
        Assert.Equal(leavesAs, Decide(Login with { Aliases = ["sales@shop.test"] }, given, Facts).ReversePath.Text);

    [Fact]
    public void One_foreign_author_of_several_is_enough()
    {
        MessageFacts two = Facts with { From = [Info, MailboxAddress.Parse("ann@bank.example")] };

        Assert.Equal("info@shop.test, ann@bank.example", Assert.Single(Decide(Login with { HeaderFromMode = HeaderFromMode.Rewrite }, "info@shop.test", two).Corrections).Original);
        Assert.Equal(Reasons.FromNotOwned, Decide(Login with { HeaderFromMode = HeaderFromMode.Refuse }, "info@shop.test", two).Reason);
    }

    [Theory]
    [InlineData("info@shop.test", true)]
    [InlineData("ann@bank.example", false)]
    public void A_Sender_of_its_own_and_a_resent_message_of_its_own_need_no_other_Sender(string address, bool isEnough)
    {
        SenderAccount account = Login with { HeaderFromMode = HeaderFromMode.Sender };
        MessageFacts sender = Foreign with { Sender = [MailboxAddress.Parse(address)], SenderText = address };
        MessageFacts resent = Foreign with { ResentBy = [MailboxAddress.Parse(address)] };

        Assert.Equal(isEnough, Decide(account, "info@shop.test", sender).HeaderFrom is null);
        Assert.Equal(isEnough, Decide(account, "info@shop.test", resent).HeaderFrom is null);
        Assert.NotNull(Decide(account with { HeaderFromMode = HeaderFromMode.Rewrite }, "info@shop.test", resent).HeaderFrom);
    }

    [Theory]
    [InlineData(SenderMode.Trust, "x@elsewhere.example", "shopuser@shop.test", "x@elsewhere.example")]
    [InlineData(SenderMode.Correct, "x@elsewhere.example", "shopuser@shop.test", "shopuser@shop.test")]
    [InlineData(SenderMode.Trust, "news@shop.test", "news@shop.test", "news@shop.test")]
    [InlineData(SenderMode.Trust, "", "shopuser@shop.test", "")]
    [InlineData(SenderMode.Trust, "shopuser", "shopuser@shop.test", "shopuser@shop.test")]
    public void The_author_is_that_of_the_reverse_path_where_it_is_owned(SenderMode mode, string given, string author, string leavesAs)
    {
        SenderAccount account = Uid with { SenderMode = mode, HeaderFromMode = HeaderFromMode.Rewrite };
        Decision decision = Decide(account, given, Foreign);

        Assert.Equal(author, decision.HeaderFrom?.Address.Text);
        Assert.Equal(leavesAs, decision.ReversePath.Text);
    }

    [Fact]
    public void PHPs_foreign_sender_is_corrected_to_an_author_of_the_subscription_and_else_to_the_user()
    {
        SenderAccount account = Uid with { SenderMode = SenderMode.Correct, ReversePathOwner = DomainOwner.NotHosted };

        Assert.Equal("info@shop.test", Decide(account, "www-data@vps123.example", Facts).ReversePath.Text);
        Assert.Equal("shopuser@shop.test", Decide(account, "www-data@vps123.example", Foreign).ReversePath.Text);
        Assert.Equal("www-data@vps123.example", Assert.Single(Decide(account, "www-data@vps123.example", Foreign).Corrections).Original);
    }

    [Theory]
    [InlineData("root", "info@shop.test", null)] // Becomes root@shop.test, of the subscription.
    [InlineData("root", "x@elsewhere.example", "shopuser@shop.test")]
    [InlineData("root", "", null)] // Gets our own name.
    public void An_unqualified_author_is_judged_as_he_will_be_written(string author, string reversePath, string? replacedBy)
    {
        Assert.True(MailboxAddress.TryParse(author, out MailboxAddress? unqualified, allowUnqualified: true));
        MessageFacts facts = Facts with { From = [], UnqualifiedFrom = unqualified };

        Assert.Equal(replacedBy, Decide(Uid with { HeaderFromMode = HeaderFromMode.Rewrite }, reversePath, facts).HeaderFrom?.Address.Text);
    }

    [Theory]
    [InlineData("info@shop.test", null)]
    [InlineData("x@elsewhere.example", "shopuser@shop.test")]
    public void A_missing_author_is_added_as_one_that_is_owned(string reversePath, string? added)
    {
        Decision decision = Decide(Uid with { HeaderFromMode = HeaderFromMode.Refuse }, reversePath, Facts with { From = [], FromFields = 0 });

        Assert.True(decision.IsAccepted, decision.Reply.ToString());
        Assert.Equal(added, decision.HeaderFrom?.Address.Text);
    }

    [Fact]
    public void A_network_that_is_trusted_with_all_is_not_treated()
    {
        SenderAccount panel = Uid with { Identity = new SenderIdentity(IdentityKind.Network, "192.0.2.0/24"), TrustsAnySender = true, HeaderFromMode = HeaderFromMode.Refuse };

        Assert.True(Decide(panel, "info@shop.test", Foreign).IsAccepted);
    }

    [Fact]
    public void What_is_put_in_is_written_with_A_labels()
    {
        SenderAccount account = Uid with { HeaderFromMode = HeaderFromMode.Sender, OwnedDomains = ["xn--bcher-kva.test"] };

        Assert.Equal("news@xn--bcher-kva.test", Decide(account, "news@bücher.test", Foreign).HeaderFrom?.Address.Text);
    }

    private static Decision Decide(SenderAccount account, string reversePath, MessageFacts facts) => RelayPolicy.Decide(account, Used(account), From(reversePath), facts);
}
