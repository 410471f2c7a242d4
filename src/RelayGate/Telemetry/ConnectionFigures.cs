namespace RelayGate.Telemetry;

/// <summary>How the connections to next hops stand.</summary>
/// <param name="Open">All of them.</param>
/// <param name="Idle">Those kept for the next message.</param>
/// <param name="Waiting">Deliveries that wait for one.</param>
/// <param name="Limit">How many there may be.</param>
public readonly record struct ConnectionFigures(int Open, int Idle, int Waiting, int Limit)
{
    /// <summary>The local address with the most; null: there are none.</summary>
    public BoundUse? Address { get; init; }

    /// <summary>The address of a next hop with the most; null: there are none.</summary>
    public BoundUse? NextHop { get; init; }
}

/// <summary>How much of a bound is in use.</summary>
/// <param name="Name">A local or a remote address.</param>
public readonly record struct BoundUse(string Name, int Open, int Limit);
