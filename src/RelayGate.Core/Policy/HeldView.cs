namespace RelayGate.Core.Policy;

/// <summary>The mail that is held at the levels of one <see cref="SenderAccount"/> and for its subscription. The default is: none.</summary>
/// <param name="Ahead">Messages that wait for room at each of the levels, in their order; null: none at any.</param>
/// <param name="Messages">Messages of the subscription that are held and not counted yet.</param>
/// <param name="Octets">Their octets.</param>
public readonly record struct HeldView(IReadOnlyList<long>? Ahead, long Messages, long Octets)
{
    /// <summary>Messages held for one subscription at most.</summary>
    public const int MaxMessages = 1000;

    /// <summary>Octets held for one subscription at most: 200 MiB.</summary>
    public const long MaxOctets = 200L << 20;

    /// <summary>Messages that wait for room at a level.</summary>
    public long AheadAt(int level) => Ahead?[level] ?? 0;

    /// <summary>Whether the subscription may have one more message of this size held.</summary>
    public bool HasRoomFor(long octets) => Messages < MaxMessages && Octets + octets <= MaxOctets;
}
