using System.Collections.Immutable;
using System.Text.RegularExpressions;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Replies;

/// <summary>One line of a rule file: which refusals it is about, and what they mean. What is empty holds for all.</summary>
public sealed class ReplyRule
{
    private readonly ReplyPattern? _text;

    internal ReplyRule(string name, string file, int line, ReplyPattern? text)
    {
        Name = name;
        File = file;
        Line = line;
        _text = text;
    }

    /// <summary>Names the rule among all.</summary>
    public string Name { get; }

    /// <summary>Where it stands.</summary>
    public string File { get; }

    public int Line { get; }

    public required ReplyClass Class { get; init; }

    /// <summary>Providers that it is about.</summary>
    public ImmutableArray<string> Providers { get; init; } = [];

    /// <summary>The reply itself tells who speaks, where the host does not; null: it does not.</summary>
    public string? Is { get; init; }

    /// <summary>The list that is meant; null: what the text names.</summary>
    public string? List { get; init; }

    public ImmutableArray<ReplySample> Samples { get; init; } = [];

    internal ImmutableArray<DeliveryStage> Stages { get; init; } = [];

    /// <summary>First digits of the code, one to three.</summary>
    internal ImmutableArray<string> Codes { get; init; } = [];

    internal ImmutableArray<StatusPattern> Statuses { get; init; } = [];

    /// <summary>Whether the reply is one that the rule is about; providers are looked at by <see cref="ReplyRules"/>.</summary>
    /// <param name="match">Of the text; null where the rule does not look at it.</param>
    internal bool Matches(DeliveryStage stage, SmtpReply reply, out Match? match)
    {
        match = null;
        if ((!Stages.IsEmpty && !Stages.Contains(stage)) || (!Codes.IsEmpty && !HasCode(reply.Code)) || (!Statuses.IsEmpty && !HasStatus(reply.Enhanced)))
            return false;
        if (_text is null)
            return true;
        match = _text.Find(reply.Text);
        return match is not null;
    }

    private bool HasCode(int code)
    {
        foreach (string digits in Codes)
        {
            int given = digits.Length switch { 1 => code / 100, 2 => code / 10, _ => code };
            if (given == int.Parse(digits))
                return true;
        }
        return false;
    }

    private bool HasStatus(EnhancedStatusCode? status)
    {
        if (status is not { } code)
            return false;
        foreach (StatusPattern pattern in Statuses)
        {
            if (pattern.Matches(code))
                return true;
        }
        return false;
    }
}

/// <summary>A reply that a rule is to match, as its test.</summary>
/// <param name="Reply">Lines with CRLF, as a next hop writes them.</param>
/// <param name="Code">The provider's code that is to be found; null: not looked at.</param>
/// <param name="List">The list that is to be found; null: not looked at.</param>
/// <param name="Url">The page that is to be found; null: not looked at.</param>
public sealed record ReplySample(string Reply, string Provider, DeliveryStage Stage, string? Code, string? List, string? Url);
