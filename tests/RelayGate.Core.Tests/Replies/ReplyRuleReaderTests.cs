using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Replies;

/// <summary>Own files of rules, and replies that mean harm.</summary>
public class ReplyRuleReaderTests
{
    private static readonly ReplyRules BuiltIn = ReplyRuleReader.Read(ReplyRuleReader.BuiltIn).Rules!;

    [Theory]
    [InlineData("""{"rule":"a","text":"x","clas":"rate","samples":["450 x"]}""", "'clas' is not known here")]
    [InlineData("""{"rule":"a","text":"x","class":"rates","samples":["450 x"]}""", "class is 'rates': one of invalid-recipient")]
    [InlineData("""{"rule":"a","text":"x","class":"none","samples":["450 x"]}""", "class is 'none'")]
    [InlineData("""{"rule":"a","text":"(","class":"rate","samples":["450 x"]}""", "text: no regular expression, at character 1")]
    [InlineData("""{"rule":"a","text":"(?!x)y","class":"rate","samples":["450 y"]}""", "lookahead")]
    [InlineData("""{"rule":"a","text":"x","class":"rate"}""", "samples: a list of 1 to 50 replies")]
    [InlineData("""{"rule":"a","text":"x","class":"rate","samples":["250 x"]}""", "'250 x' is no refusal")]
    [InlineData("""{"rule":"a","text":"x","class":"rate","samples":["450 y"]}""", "rule a: the sample '450 y' is not matched by it")]
    [InlineData("""{"rule":"a","text":"x (?<code>\\d+)","class":"rate","samples":[{"reply":"450 x 12","code":"13"}]}""", "gives the code 12, not 13")]
    [InlineData("""{"rule":"a","class":"rate","samples":["450 y"]}""", "a rule needs text, code or status")]
    [InlineData("""{"rule":"a","code":"250","class":"rate","samples":["450 y"]}""", "code is '250'")]
    [InlineData("""{"rule":"a","status":"5.7","class":"rate","samples":["450 y"]}""", "status is '5.7'")]
    [InlineData("""{"rule":"a","stage":"quit","text":"y","class":"rate","samples":["450 y"]}""", "stage is 'quit': one of greeting")]
    [InlineData("""{"rule":"A b","text":"y","class":"rate","samples":["450 y"]}""", "rule is 'A b'")]
    [InlineData("""{"rule":"no-user","text":"y","class":"rate","samples":["450 y"]}""", "rule: a rule of this build is called no-user: another name is expected")]
    [InlineData("""{"rule":"a","provider":"googel","text":"y","class":"rate","samples":["450 y"]}""", "provider: no provider is called googel; did you mean google?")]
    [InlineData("""{"rule":"a","provider":["google","microsoft"],"text":"y","class":"rate","samples":["450 y"]}""", "no provider is called microsoft; did you mean microsoft-consumer or microsoft-365?")]
    [InlineData("""{"rule":"a","provider":"nosuchprov","text":"y","class":"rate","samples":["450 y"]}""", "no provider is called nosuchprov; names: relaygate rules list")]
    [InlineData("""{"rule":"a","provider":"bad..name","text":"y","class":"rate","samples":["450 y"]}""", "provider: 'bad..name' is no provider")]
    [InlineData("""{"rule":"a","text":"y","class":"rate","samples":[{"reply":"450 y","provider":"gogle"}]}""", "provider: no provider is called gogle; did you mean google?")]
    [InlineData("""{"name":"us","hosts":["*.dest.test"]}""", "'*.dest.test' is no host")]
    [InlineData("""{"rule":"a","text":"\d","class":"rate","samples":["450 1"]}""", "no valid JSON")]
    [InlineData("rule a", "no valid JSON at character 1")]
    [InlineData("[]", "one JSON object a line")]
    public void A_fault_names_the_line_and_what_would_be_right(string line, string expected)
    {
        ReplyRuleReading reading = ReplyRuleReader.Read(new ReplyRuleSource("own.jsonl", $"# own rules\n\n{line}\n"), ReplyRuleReader.BuiltIn);

        Assert.Null(reading.Rules);
        ReplyRuleFault fault = reading.Faults[0];
        Assert.Contains(expected, fault.Text, StringComparison.Ordinal);
        Assert.Equal(("own.jsonl", 3), (fault.File, fault.Line));
    }

    [Fact]
    public void Own_rules_and_hosts_come_before_those_of_the_build()
    {
        const string Own = """
            {"name":"us","hosts":["google.com","dest.test"]}
            {"rule":"our-own","provider":"us","stage":["rcpt"],"text":"user unknown, case (?<code>\\w+)","class":"mailbox-full","samples":["550 5.1.1 User unknown, case X7"]}
            """;
        ReplyRules rules = ReplyRuleReader.Read(new ReplyRuleSource("own.jsonl", Own), ReplyRuleReader.BuiltIn).Rules!;

        Assert.Equal("us", rules.ProviderOf("aspmx.l.google.com"));
        SmtpReply reply = SmtpReply.Parse("550 5.1.1 User unknown, case x7");
        Assert.Equal(new ReplyFinding(ReplyClass.MailboxFull, "us", "X7", Rule: "our-own"), rules.Classify("us", DeliveryStage.Rcpt, reply));
        Assert.Equal(ReplyClass.InvalidRecipient, rules.Classify("us", DeliveryStage.EndOfData, reply).Class);
        Assert.Equal(ReplyClass.InvalidRecipient, rules.Classify("other.test", DeliveryStage.Rcpt, reply).Class);
    }

    /// <summary>Whatever a pattern matches has one of the words that are looked for first.</summary>
    [Theory]
    [InlineData("user unknown|no such (user|mailbox)", "user unknown|no such ")]
    [InlineData(@"\b(?<code>IPBL1[01]{3,4})\b", "IPBL1")]
    [InlineData("(blocked )?using (?<list>[^\\s;,]+)", "using ")]
    [InlineData("(abc|defg)x?", "abc|defg")]
    [InlineData("(abc|d*)end of it", "end of it")]
    [InlineData("colou?r", "colo")]
    [InlineData("ab+cd", null)]
    [InlineData("abcd{2,3}ef", "abcd")]
    [InlineData("abc|.*", null)]
    [InlineData("(abcd)?", null)]
    [InlineData("(?:abcd|efgh){0,2}", null)]
    [InlineData("[abcd]efgh[]]", "efgh")]
    [InlineData("(?i:abcd)", null)]
    [InlineData(@"dbl\.spamhaus\.org", "dbl.spamhaus.org")]
    [InlineData("", null)]
    public void Every_match_of_a_pattern_has_one_of_its_words(string pattern, string? expected) =>
        Assert.Equal(expected, RequiredWords.Find(pattern) is { } words ? string.Join('|', words) : null);

    [Theory]
    [InlineData("5.7.1", "5.7.1", true)]
    [InlineData("5.7.1", "4.7.1", false)]
    [InlineData("x.7.26", "4.7.26", true)]
    [InlineData("5.7.606-649", "5.7.606", true)]
    [InlineData("5.7.606-649", "5.7.649", true)]
    [InlineData("5.7.606-649", "5.7.650", false)]
    [InlineData("5.6.x", "5.6.0", true)]
    [InlineData("5.6.x", "5.7.0", false)]
    public void A_pattern_of_enhanced_codes_matches_what_it_says(string pattern, string code, bool expected)
    {
        Assert.True(StatusPattern.TryParse(pattern, out StatusPattern parsed));
        Assert.True(EnhancedStatusCode.TryParse(code, out EnhancedStatusCode status, out _));
        Assert.Equal(expected, parsed.Matches(status));
    }

    [Fact]
    public void What_stands_in_the_last_line_of_the_longest_reply_counts()
    {
        string filler = string.Concat(Enumerable.Range(0, 15).Select(i => $"550-5.7.1 {new string((char)('a' + i), 2000)}\r\n"));
        byte[] wire = Encoding.ASCII.GetBytes(filler + "550 5.7.1 Client host [192.0.2.10] blocked using zen.spamhaus.org; https://lists.test/1\r\n");
        Assert.Equal(ReplyScan.Complete, new ReplyScanner().Scan(wire));

        ReplyFinding found = BuiltIn.Classify("dest.test", DeliveryStage.Rcpt, RemoteReply.Read(wire));

        Assert.Equal((ReplyClass.IpBlocked, "zen.spamhaus.org", "https://lists.test/1"), (found.Class, found.List, found.Url));
    }

    /// <summary>Texts that make a backtracking engine take for ever, as long as a reply may be.</summary>
    [Theory]
    [InlineData("blocked using ")]
    [InlineData("IP: problem occurred ")]
    [InlineData("[[[[[[[[")]
    [InlineData("rbl rbl listed listed by ")]
    [InlineData("a.a.a.a.a.a.a.a.")]
    [InlineData("http://http://")]
    [InlineData("a/a/a/")]
    [InlineData("mailbox mailbox user account ")]
    [InlineData("reputation of the your sending ")]
    public void A_hostile_reply_takes_no_longer_than_its_length(string piece)
    {
        string text = string.Concat(Enumerable.Repeat(piece, 30_000 / piece.Length));
        var reply = new SmtpReply(550, null, text);
        BuiltIn.Classify("dest.test", DeliveryStage.Rcpt, reply); // Patterns are made when they are first needed.

        long started = TimeProvider.System.GetTimestamp();
        ReplyFinding found = BuiltIn.Classify("google", DeliveryStage.Rcpt, reply);

        Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(5), $"{TimeProvider.System.GetElapsedTime(started)} for {found}");
    }

    [Fact]
    public void No_reply_throws_and_what_is_found_in_it_is_bounded()
    {
        string[] words = ["blocked", " using ", "zen.spamhaus.org", "http://", "x.test/", "[TSS04]", "5.7.1", " ", "\r\n550 5.7.1 ", "listed at ", "S3140", "(", "é", "\0", "c=", "IP=", "OFR_506"];
        Gen<string> piece = Gen.OneOf(Gen.Elements(words), ArbMap.Default.GeneratorFor<string>().Select(static s => s ?? ""));
        Prop.ForAll(Gen.ArrayOf(piece).ToArbitrary(), ArbMap.Default.ArbFor<PositiveInt>(), (pieces, number) =>
        {
            byte[] wire = Encoding.UTF8.GetBytes($"550-5.7.1 {string.Concat(pieces)}\r\n550 5.7.1 end\r\n");
            SmtpReply reply = RemoteReply.Read(wire);
            string provider = BuiltIn.Providers[number.Get % BuiltIn.Providers.Length];
            ReplyFinding found = BuiltIn.Classify(provider, (DeliveryStage)(number.Get % 9), reply);
            return found.Class != ReplyClass.None && found.Code is null or { Length: <= 100 } && found.List is null or { Length: <= 100 } && found.Url is null or { Length: <= 300 };
        }).QuickCheckThrowOnFailure();
    }

    [Theory]
    [InlineData(ReplyClass.IpBlocked, OutcomeKind.Deferred)]
    [InlineData(ReplyClass.IpDeferred, OutcomeKind.Deferred)]
    [InlineData(ReplyClass.Ptr, OutcomeKind.Deferred)]
    [InlineData(ReplyClass.Rate, OutcomeKind.Deferred)]
    [InlineData(ReplyClass.Transient, OutcomeKind.Deferred)]
    [InlineData(ReplyClass.Policy, OutcomeKind.Failed)]
    [InlineData(ReplyClass.Content, OutcomeKind.Failed)]
    [InlineData(ReplyClass.Authentication, OutcomeKind.Failed)]
    [InlineData(ReplyClass.DomainReputation, OutcomeKind.Failed)]
    [InlineData(ReplyClass.InvalidRecipient, OutcomeKind.Failed)]
    [InlineData(ReplyClass.MailboxFull, OutcomeKind.Failed)]
    [InlineData(ReplyClass.Tls, OutcomeKind.Failed)]
    [InlineData(ReplyClass.Refused, OutcomeKind.Failed)]
    public void Only_what_is_about_recipient_or_message_fails_a_recipient(ReplyClass about, OutcomeKind expected)
    {
        foreach (DeliveryStage stage in new[] { DeliveryStage.Rcpt, DeliveryStage.Data, DeliveryStage.EndOfData })
            Assert.Equal(expected, DeliveryOutcome.OfReply(stage, 550, about));
        Assert.Equal(expected == OutcomeKind.Failed ? expected : OutcomeKind.NextHost, DeliveryOutcome.OfReply(DeliveryStage.Mail, 550, about));
        Assert.Equal(OutcomeKind.NextHost, DeliveryOutcome.OfReply(DeliveryStage.Greeting, 554, about));
    }
}
