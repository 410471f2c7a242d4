using RelayGate.Core.Smtp;

namespace RelayGate.Delivery;

/// <summary>A next hop that broke the protocol or went away. Caught where the session ends, never shown to a client.</summary>
internal sealed class NextHopException(string status, string message) : IOException(message)
{
    /// <summary>What the next hop said is not what the protocol has it say.</summary>
    public const string NotSmtp = "4.5.0";

    /// <summary>Enhanced status code, for instance 4.4.2.</summary>
    public string Status { get; } = status;

    /// <summary>The 421 with which the next hop ended the session (RFC 5321 §3.8), or null.</summary>
    public SmtpReply? Reply { get; init; }
}
