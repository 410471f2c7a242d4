using System.ComponentModel;
using System.Diagnostics;

namespace RelayGate.Sendmail;

/// <summary>
/// -bp, mailq and -q: runs <c>relaygate queue …</c>, which asks the gateway over its control socket. The gateway takes the caller's uid from the
/// kernel: administrators see and run the whole queue, others list their subscription's.
/// </summary>
internal static class QueueTool
{
    private const string Command = "relaygate";

    public static int Run(params string[] arguments)
    {
        string program = Find() ?? throw new SendmailException(
            ExitCode.Unavailable, $"the command {Command}, which knows the queue, is neither beside this program nor in PATH; add its folder to PATH");
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, ["queue", .. arguments]) { UseShellExecute = false })!;
            process.WaitForExit();
            return SysExit(process.ExitCode);
        }
        catch (Win32Exception)
        {
            throw new SendmailException(ExitCode.Unavailable, $"cannot run {program}; is it installed whole, and executable?");
        }
    }

    /// <summary>Beside this program, as after a build; a folder above it, as installed; else in PATH.</summary>
    private static string? Find()
    {
        string own = AppContext.BaseDirectory;
        string[] path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries);
        return new[] { own, Path.Combine(own, "..") }.Concat(path).Select(static folder => Path.GetFullPath(Path.Combine(folder, Command))).FirstOrDefault(File.Exists);
    }

    /// <summary>The exit codes of relaygate as those of sysexits.h.</summary>
    private static int SysExit(int code) => code switch
    {
        0 => ExitCode.Ok,
        2 => ExitCode.Usage,
        4 => ExitCode.NoPermission,
        7 => ExitCode.TemporaryFailure,
        _ => ExitCode.Unavailable,
    };
}
