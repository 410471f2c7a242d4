namespace RelayGate.Sendmail;

/// <summary>Exit codes of sysexits.h, as callers of sendmail know them.</summary>
internal static class ExitCode
{
    /// <summary>The gateway has answered 250: the message is on its disk.</summary>
    public const int Ok = 0;

    /// <summary>The command line is wrong.</summary>
    public const int Usage = 64;

    /// <summary>The message is wrong: NUL in it, too large, no recipient, refused for its content.</summary>
    public const int DataError = 65;

    /// <summary>Every recipient was refused for good.</summary>
    public const int NoUser = 67;

    /// <summary>What was asked for is not to be had here.</summary>
    public const int Unavailable = 69;

    /// <summary>A bug in this program.</summary>
    public const int Software = 70;

    /// <summary>Standard input could not be read.</summary>
    public const int IOError = 74;

    /// <summary>Not taken; the same may succeed later.</summary>
    public const int TemporaryFailure = 75;

    /// <summary>The gateway's policy says no.</summary>
    public const int NoPermission = 77;
}

/// <summary>Ends the run with one line on standard error.</summary>
/// <param name="exitCode">One of <see cref="ExitCode"/>.</param>
internal sealed class SendmailException(int exitCode, string message) : Exception(message)
{
    public int ExitCode => exitCode;
}
