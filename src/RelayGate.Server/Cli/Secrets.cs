using System.CommandLine;

namespace RelayGate.Server.Cli;

/// <summary>Passwords come by standard input alone: arguments can be read by every user of the host.</summary>
internal static class Secrets
{
    private const int MaxLength = 1024;

    public static Option<bool> PasswordStdin { get; } = new("--password-stdin") { Description = "Read the password from standard input, to the end of its first line." };

    public static async Task<string> ReadPasswordAsync()
    {
        char[] text = new char[MaxLength + 1];
        int length = await Console.In.ReadBlockAsync(text);
        string password = new string(text, 0, length).Split('\n')[0].TrimEnd('\r');
        return password.Length switch
        {
            0 => throw new CliException(ExitCode.Usage, "no password came on standard input"),
            > MaxLength => throw new CliException(ExitCode.Usage, $"a password has at most {MaxLength} characters"),
            _ => password,
        };
    }
}
