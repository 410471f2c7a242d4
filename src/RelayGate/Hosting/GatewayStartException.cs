namespace RelayGate.Hosting;

/// <summary>The gateway cannot start, for a reason the administrator can mend. The message is one line with the remedy.</summary>
public sealed class GatewayStartException : Exception
{
    public GatewayStartException(string message)
        : base(message)
    {
    }

    public GatewayStartException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
