using System.Collections.Immutable;
using System.Text;
using RelayGate.Core.Dns;
using RelayGate.Core.Tls;

namespace RelayGate.Core.Tests.Tls;

public class StsPolicyTests
{
    [Theory]
    [InlineData("v=STSv1; id=20160831085700Z;", "20160831085700Z")]
    [InlineData("v=STSv1;id=a1", "a1")]
    [InlineData("v=STSv1; ext=x; id=a1; more=y", "a1")]
    [InlineData("v=STSv1;", null)]
    [InlineData("v=STSv1; id=;", null)]
    [InlineData("v=STSv1; id=a-1;", null)]
    [InlineData("v=STSv1; id=123456789012345678901234567890123;", null)]
    [InlineData("v=STSv10; id=1;", null)]
    [InlineData("v=spf1 -all", null)]
    public void The_id_is_read_from_a_record_that_is_valid(string text, string? id) => Assert.Equal(id, StsPolicy.ReadId([Txt(text)]));

    [Fact]
    public void Other_records_are_passed_over_and_two_policies_are_none()
    {
        Assert.Equal("1", StsPolicy.ReadId([Txt("hello"), Txt("v=STSv1; id=1;")]));
        Assert.Null(StsPolicy.ReadId([Txt("v=STSv1; id=1;"), Txt("v=STSv1; id=1;")]));
    }

    [Fact]
    public void A_policy_is_read_with_either_line_end_and_unknown_keys()
    {
        StsPolicy policy = StsPolicy.Parse("version: STSv1\r\nmode: testing\r\nmx: Mail.Example.com\r\nmx: *.example.net\r\nfuture: x\r\nmax_age: 604800\r\n", out _)!;

        Assert.Equal((StsMode.Testing, TimeSpan.FromDays(7)), (policy.Mode, policy.MaxAge));
        Assert.True(policy.Covers("mail.example.com"));
        Assert.True(policy.Covers("a.example.net"));
        Assert.False(policy.Covers("a.b.example.net"));
        Assert.False(policy.Covers("example.net"));
        Assert.False(policy.Covers("mail.example.com.evil.test"));
    }

    [Theory]
    [InlineData("mode: enforce\nmx: a.test\nmax_age: 1", "version")]
    [InlineData("version: STSv1\nmode: strict\nmx: a.test\nmax_age: 1", "mode")]
    [InlineData("version: STSv1\nmode: enforce\nmax_age: 1", "mx")]
    [InlineData("version: STSv1\nmode: enforce\nmx: a.test", "max_age")]
    [InlineData("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1", "max_age")]
    [InlineData("version: STSv1\nmode: enforce\nmx: a_b!\nmax_age: 1", "host name")]
    [InlineData("<html>", "version")]
    public void What_is_no_policy_says_why(string text, string fault)
    {
        Assert.Null(StsPolicy.Parse(text, out string said));
        Assert.Contains(fault, said, StringComparison.Ordinal);
    }

    [Fact]
    public void An_age_is_cut_at_a_year_and_mode_none_needs_no_hosts()
    {
        StsPolicy policy = StsPolicy.Parse("version: STSv1\nmode: none\nmax_age: 999999999999\n", out _)!;

        Assert.Equal((StsMode.None, TimeSpan.FromSeconds(31_557_600)), (policy.Mode, policy.MaxAge));
    }

    private static TxtRecord Txt(string text) => new("_mta-sts.a.test", 60, [.. Encoding.ASCII.GetBytes(text)]);
}
