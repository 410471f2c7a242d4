using System.Globalization;
using System.Text;
using RelayGate.Core.Policy;

namespace RelayGate.Sendmail;

/// <summary>What this program knows of who called it, for the gateway's record. None of it is secret, and none of it decides anything.</summary>
internal static class Claims
{
    private const int MaxLevels = 3; // A shell or two between PHP and this program.
    private const int MaxProcOctets = 1024;

    private static ReadOnlySpan<byte> PoolTitle => "php-fpm: pool "u8;

    /// <param name="message">For the script that PHP names in it.</param>
    public static SenderClaims Read(OutgoingMessage message) => new(
        Variable("SCRIPT_FILENAME"), Short(Folder()), Short(message.PhpScript), Pool(), Variable("SERVER_NAME"), Variable("REMOTE_ADDR"));

    private static string? Variable(string name) => Short(Environment.GetEnvironmentVariable(name));

    /// <summary>PHP runs a script in its own folder.</summary>
    private static string? Folder()
    {
        try
        {
            return Environment.CurrentDirectory;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // It was removed, or may not be looked at.
        }
    }

    /// <summary>The pool that a worker of PHP-FPM names in its title.</summary>
    private static string? Pool()
    {
        int process = Environment.ProcessId;
        for (int i = 0; i < MaxLevels; i++)
        {
            string status = Encoding.UTF8.GetString(Start($"/proc/{process}/status"));
            int at = status.IndexOf("\nPPid:\t", StringComparison.Ordinal);
            if (at < 0 || !int.TryParse(status.AsSpan(at + 7, Math.Max(0, status.IndexOf('\n', at + 7) - at - 7)), CultureInfo.InvariantCulture, out process) || process <= 1)
                return null;
            byte[] title = Start($"/proc/{process}/cmdline");
            if (title.AsSpan().StartsWith(PoolTitle))
                return Short(Encoding.UTF8.GetString(title.AsSpan(PoolTitle.Length)).TrimEnd('\0', ' '));
        }
        return null;
    }

    private static byte[] Start(string path)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            byte[] start = new byte[MaxProcOctets];
            return start[..file.Read(start)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>Null also for what the gateway would not take.</summary>
    private static string? Short(string? value) => value is { Length: > 0 } && Encoding.UTF8.GetByteCount(value) <= SenderClaims.MaxOctets ? value : null;
}
