using System.Collections.Immutable;

namespace RelayGate.Core.Replies;

/// <summary>A text of rules.</summary>
/// <param name="Name">For people: the path of the file.</param>
/// <param name="IsTested">Its samples were tested before and its patterns are known to be good: patterns are made when they are first needed.</param>
public sealed record ReplyRuleSource(string Name, string Text, bool IsTested = false);

/// <summary>What is wrong in a file of rules.</summary>
/// <param name="Line">From 1; null: of the file as a whole.</param>
/// <param name="Text">What, and what would be right.</param>
public sealed record ReplyRuleFault(string File, int? Line, string Text)
{
    public override string ToString() => Line is { } line ? $"{File} line {line}: {Text}" : $"{File}: {Text}";
}

/// <summary>What a reading came to.</summary>
/// <param name="Rules">Null when there are faults.</param>
/// <param name="Faults">At most <see cref="ReplyRuleReader.MaxFaults"/>, in the order of the files.</param>
public sealed record ReplyRuleReading(ReplyRules? Rules, ImmutableArray<ReplyRuleFault> Faults);
