namespace RelayGate.Server.Cli;

/// <summary>A command failed in a way its user can understand: one line for stderr and the exit code.</summary>
internal sealed class CliException(int exitCode, string message) : Exception(message)
{
    public int ExitCode { get; } = exitCode;
}
