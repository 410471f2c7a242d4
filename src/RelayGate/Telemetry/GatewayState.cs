namespace RelayGate.Telemetry;

public enum GatewayPhase
{
    Starting,

    /// <summary>Store open, listeners bound.</summary>
    Ready,

    /// <summary>Sessions are told to end; deliveries drain.</summary>
    Stopping,
}

/// <summary>Where the gateway stands, for health checks and <c>status</c>.</summary>
public sealed class GatewayState(TimeProvider time)
{
    private volatile GatewayPhase _phase = GatewayPhase.Starting;

    public GatewayPhase Phase
    {
        get => _phase;
        internal set => _phase = value;
    }

    /// <summary>What is listened on, for people; set when everything listens.</summary>
    public IReadOnlyList<string> Listeners { get; internal set; } = [];

    public DateTimeOffset StartedAt { get; } = time.GetUtcNow();
}
