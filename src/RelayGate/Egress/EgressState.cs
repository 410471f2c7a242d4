using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;

namespace RelayGate.Egress;

/// <summary>How a local address stands. The numbers are stored, and told as a metric.</summary>
public enum EgressCondition
{
    /// <summary>Mail goes.</summary>
    Ok = 0,

    /// <summary>Mail goes with a pace, because the provider said that it was too much.</summary>
    Slowed = 1,

    /// <summary>No mail goes to the provider, because it refuses the address.</summary>
    Paused = 2,

    /// <summary>No mail leaves from the address at all, by hand.</summary>
    Resting = 3,
}

/// <summary>A local address at one provider, or everywhere.</summary>
/// <param name="Address">Where the system chooses, what stands for that (<see cref="SystemChoice"/>).</param>
/// <param name="Provider">As in <c>NextHopAddress.Provider</c>, in lower case; "": everywhere.</param>
public readonly record struct EgressKey(IPAddress Address, string Provider)
{
    public override string ToString() => Provider.Length == 0 ? SystemChoice.NameOf(Address) : $"{SystemChoice.NameOf(Address)} at {Provider}";
}

/// <summary>Why and until when less than usual, or nothing, leaves from an address. Kept in the store.</summary>
/// <param name="Class">What the refusal was about; none for what was done by hand.</param>
/// <param name="Until">Null: until it is ended by hand. A pause ends with the first message that is taken after this time.</param>
/// <param name="Repetition">Refusals without a success between them, those of the messages in flight counted as one.</param>
/// <param name="Why">The reply, or the reason that was given.</param>
public sealed record EgressState(EgressKey Key, EgressCondition Condition, ReplyClass Class, DateTimeOffset Since, DateTimeOffset? Until, int Repetition, string Why)
{
    /// <summary>Messages a minute while it is slowed.</summary>
    public int? PerMinute { get; init; }

    /// <summary>Connections while it is slowed.</summary>
    public int? Connections { get; init; }

    /// <summary>The pace before it was slowed: once it is reached again, the state ends.</summary>
    public int? Before { get; init; }

    /// <summary>The list that the reply names.</summary>
    public string? List { get; init; }

    /// <summary>The page that the reply names.</summary>
    public string? Url { get; init; }

    /// <summary>Whose message was refused; null by hand.</summary>
    public string? Subscription { get; init; }

    /// <summary>Who did it by hand.</summary>
    public string? By { get; init; }
}

/// <summary>A pace set by hand: it wins over a learned one until it ends.</summary>
/// <param name="Address">A local address, or <c>*</c> for each.</param>
/// <param name="Provider">A provider, or <c>*</c> for each.</param>
/// <param name="PerMinute">Messages a minute: 1 to <see cref="EgressStates.MaxPace"/>, for each pair of address and provider.</param>
/// <param name="Connections">At most; null: as usual.</param>
public sealed record EgressPace(string Address, string Provider, int PerMinute, int? Connections, DateTimeOffset Since, DateTimeOffset? Until, string? Reason, string By)
{
    public const string Any = "*";

    /// <summary>Whether it is meant for a pair; a more exact one may win over it there.</summary>
    public bool IsFor(EgressKey pair) => (Address == Any || Address == pair.Address.ToString()) && (Provider == Any || Provider == pair.Provider);

    public override string ToString() =>
        $"{PerMinute}/min{(Connections is { } bound ? $", {bound} connections" : "")}{(Until is { } end ? $" until {end.UtcDateTime:yyyy-MM-dd HH:mm} UTC" : "")}";
}
