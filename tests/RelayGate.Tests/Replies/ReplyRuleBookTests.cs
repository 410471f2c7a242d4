using System.Collections.Immutable;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;
using RelayGate.Replies;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Replies;

/// <summary>The file of own rules, while the gateway runs.</summary>
public sealed class ReplyRuleBookTests
{
    private const string Good = """{"rule":"ours","text":"teapot","class":"rate","samples":["550 I am a teapot"]}""";

    private static readonly SmtpReply Teapot = SmtpReply.Parse("550 I am a teapot");

    [Fact]
    public void A_changed_file_is_taken_within_the_minute_and_a_bad_one_changes_nothing()
    {
        using var folder = new TempFolder();
        string path = folder.File("rules.jsonl");
        File.WriteAllText(path, Good);
        var time = new ManualTimeProvider();
        using var book = new ReplyRuleBook(new DeliveryOptions { ReplyRules = path }, time, NullLogger<ReplyRuleBook>.Instance);
        Assert.Equal(ReplyClass.Rate, book.Find("dest.test", DeliveryStage.Rcpt, Teapot)!.Class);

        File.WriteAllText(path, "# better\n" + Good.Replace("\"rate\"", "\"policy\"", StringComparison.Ordinal));
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(ReplyClass.Policy, book.Find("dest.test", DeliveryStage.Rcpt, Teapot)!.Class);

        File.WriteAllText(path, "# worse, and longer\n" + Good.Replace("teapot\"]", "kettle\"]", StringComparison.Ordinal));
        time.Advance(TimeSpan.FromMinutes(1));
        ReplyRuleFault fault = Assert.Single(book.Reload());
        Assert.Equal($"{path} line 2: rule ours: the sample '550 I am a kettle' is not matched by it", fault.ToString());
        Assert.Equal(ReplyClass.Policy, book.Find("dest.test", DeliveryStage.Rcpt, Teapot)!.Class);

        File.Delete(path);
        Assert.Equal("there is no such file", Assert.Single(book.Reload()).Text);
        Assert.Equal(ReplyClass.Policy, book.Find("dest.test", DeliveryStage.Rcpt, Teapot)!.Class);
        Assert.Null(book.Find("dest.test", DeliveryStage.Rcpt, SmtpReply.Parse("250 Ok")));
    }

    [Fact]
    public void A_bad_file_stops_the_start()
    {
        using var folder = new TempFolder();
        string path = folder.File("rules.jsonl");
        File.WriteAllText(path, "{}");

        FormatException fault = Assert.Throws<FormatException>(() => new ReplyRuleBook(new DeliveryOptions { ReplyRules = path }, TimeProvider.System, NullLogger<ReplyRuleBook>.Instance));

        Assert.Contains($"{path} line 1: the object has none of rule", fault.Message, StringComparison.Ordinal);
    }
}
