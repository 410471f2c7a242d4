namespace RelayGate.Core.Replies;

/// <summary>What the rules found in a refusal.</summary>
/// <param name="Provider">Who refused, by MX host or by the reply itself: a name of the rules, else the parent domain of the host.</param>
/// <param name="Code">The provider's own code in the text, for instance S3140 or TSS04; null: none.</param>
/// <param name="List">The list named in the text, for instance zen.spamhaus.org; null: none.</param>
/// <param name="Url">The first address of a page in the text, where help or removal is to be had; null: none.</param>
/// <param name="Rule">Name of the rule that matched; null: none did, and the class is that of the first digit.</param>
public sealed record ReplyFinding(ReplyClass Class, string Provider, string? Code = null, string? List = null, string? Url = null, string? Rule = null)
{
    /// <summary>How long the rule has our address keep off the provider, or go slower at <see cref="ReplyClass.Rate"/>; null: as usual for the class.</summary>
    public TimeSpan? Pause { get; init; }
}
