namespace RelayGate.Core.Policy;

/// <summary>What a client on the unix socket says of itself (XCLAIM): noted in the record for whoever looks for a script, and never identity.</summary>
/// <param name="Script">SCRIPT_FILENAME of its environment.</param>
/// <param name="Directory">Its working directory.</param>
/// <param name="PhpScript">X-PHP-Originating-Script of the message to come.</param>
/// <param name="Pool">Pool of PHP-FPM that called it.</param>
/// <param name="Site">SERVER_NAME.</param>
/// <param name="Visitor">REMOTE_ADDR: who asked for the page.</param>
public sealed record SenderClaims(
    string? Script = null, string? Directory = null, string? PhpScript = null, string? Pool = null, string? Site = null, string? Visitor = null)
{
    /// <summary>Octets of one value at most; a longer one is not taken.</summary>
    public const int MaxOctets = 255;
}
