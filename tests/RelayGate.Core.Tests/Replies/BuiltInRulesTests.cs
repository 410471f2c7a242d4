using RelayGate.Core.Replies;

namespace RelayGate.Core.Tests.Replies;

/// <summary>The rules of this build against the samples that stand beside them.</summary>
public class BuiltInRulesTests
{
    [Fact]
    public void Every_rule_matches_its_own_samples_and_no_rule_before_it_does()
    {
        ReplyRuleReading reading = ReplyRuleReader.Read(ReplyRuleReader.BuiltIn with { IsTested = false });

        Assert.True(reading.Faults.IsEmpty, string.Join(Environment.NewLine, reading.Faults));
        Assert.All(reading.Rules!.Rules, rule => Assert.NotEmpty(rule.Samples));
    }
}
