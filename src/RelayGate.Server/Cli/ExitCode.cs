namespace RelayGate.Server.Cli;

/// <summary>Exit codes of the command line; scripts rely on them.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int NotFound = 3;
    public const int NotPermitted = 4;
    public const int Conflict = 5;
    public const int Unreachable = 7;
}
