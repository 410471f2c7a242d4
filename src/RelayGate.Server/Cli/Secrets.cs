using System.CommandLine;

namespace RelayGate.Server.Cli;

/// <summary>Passwords come by standard input alone: arguments can be read by every user of the host.</summary>
internal static class Secrets
{
    private const int MaxLength = 1024;

    public static Option<bool> PasswordStdin { get; } = new("--password-stdin") { Description = "Read the password from standard input, to the end of its first line." };

    public static Task<string> ReadPasswordAsync() => ReadAsync("password", MaxLength);

    /// <summary>Reads the first line of standard input.</summary>
    /// <param name="what">For messages.</param>
    /// <param name="max">Characters at most.</param>
    public static async Task<string> ReadAsync(string what, int max)
    {
        char[] text = new char[max + 1];
        int length = await Console.In.ReadBlockAsync(text);
        string line = new string(text, 0, length).Split('\n')[0].TrimEnd('\r');
        if (line.Length == 0)
            throw new CliException(ExitCode.Usage, $"no {what} came on standard input");
        return line.Length <= max ? line : throw new CliException(ExitCode.Usage, $"a {what} has at most {max} characters");
    }
}
