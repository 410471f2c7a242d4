using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace RelayGate.Core.Policy;

/// <summary>What a limit counts.</summary>
public enum LimitUnit
{
    Messages,
    Recipients,
}

/// <summary>The rolling window of a limit.</summary>
public enum LimitWindow
{
    Hour,
    Day,
}

/// <summary>At most <paramref name="Count"/> messages or recipients in any rolling window.</summary>
/// <param name="Count">At least 1.</param>
public readonly record struct Limit(long Count, LimitUnit Unit, LimitWindow Window)
{
    /// <summary>As it is configured: <c>200/h</c>, <c>1000/d:rcpt</c>.</summary>
    public override string ToString() => $"{Count}/{(Window == LimitWindow.Hour ? 'h' : 'd')}{(Unit == LimitUnit.Recipients ? ":rcpt" : "")}";
}

/// <summary>All limits of one object: several at once, none (<see cref="Unlimited"/>), or no mail at all (<see cref="Forbidden"/>).</summary>
public sealed class LimitSet : IEquatable<LimitSet>
{
    /// <summary>Largest count of one limit.</summary>
    public const long MaxCount = 1_000_000_000_000;

    private LimitSet(ImmutableArray<Limit> limits, bool isForbidden)
    {
        Limits = limits;
        IsForbidden = isForbidden;
    }

    public static LimitSet Unlimited { get; } = new([], false);

    public static LimitSet Forbidden { get; } = new([], true);

    public ImmutableArray<Limit> Limits { get; }

    /// <summary>Whether nothing may be sent.</summary>
    public bool IsForbidden { get; }

    public bool IsUnlimited => Limits.IsEmpty && !IsForbidden;

    /// <summary>
    /// Reads <c>N/h</c>, <c>N/d</c>, <c>N/h:rcpt</c>, <c>N/d:rcpt</c>, several with commas, <c>unlimited</c> or <c>forbidden</c>.
    /// A bare 0 is refused: it means "forbidden" to some panels and "unlimited" to others.
    /// </summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out LimitSet? limits)
    {
        limits = text.Trim() switch
        {
            "unlimited" => Unlimited,
            "forbidden" => Forbidden,
            _ => null,
        };
        if (limits is not null)
            return true;
        ImmutableArray<Limit>.Builder list = ImmutableArray.CreateBuilder<Limit>();
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            LimitUnit unit = part.EndsWith(":rcpt", StringComparison.Ordinal) ? LimitUnit.Recipients : LimitUnit.Messages;
            string value = unit == LimitUnit.Recipients ? part[..^":rcpt".Length] : part;
            LimitWindow? window = value.Length < 3 ? null : value[^2..] switch { "/h" => LimitWindow.Hour, "/d" => LimitWindow.Day, _ => null };
            if (window is null || !long.TryParse(value[..^2], NumberStyles.None, CultureInfo.InvariantCulture, out long count) || count is < 1 or > MaxCount)
                return false;
            list.Add(new Limit(count, unit, window.Value));
        }
        limits = new LimitSet(list.ToImmutable(), false);
        return true;
    }

    /// <summary>The same limits with so many messages or recipients more in each; unlimited and forbidden stay what they are.</summary>
    public LimitSet Plus(long more)
    {
        ImmutableArray<Limit>.Builder list = ImmutableArray.CreateBuilder<Limit>(Limits.Length);
        foreach (Limit limit in Limits)
            list.Add(limit with { Count = Math.Min(MaxCount, limit.Count + more) });
        return new LimitSet(list.MoveToImmutable(), IsForbidden);
    }

    public bool Equals(LimitSet? other) => other is not null && IsForbidden == other.IsForbidden && Limits.SequenceEqual(other.Limits);

    public override bool Equals(object? obj) => Equals(obj as LimitSet);

    public override int GetHashCode() => HashCode.Combine(IsForbidden, Limits.Length);

    public override string ToString() => IsForbidden ? "forbidden" : Limits.IsEmpty ? "unlimited" : string.Join(',', Limits);
}

/// <summary>What happens to a message that is over a limit.</summary>
public enum OverLimitAction
{
    /// <summary>451 4.7.1: the client may try again later.</summary>
    Refuse,

    /// <summary>550 5.7.1.</summary>
    Reject,

    /// <summary>250: held until there is room.</summary>
    Hold,
}
