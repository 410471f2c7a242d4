using System.Collections.Concurrent;
using System.Diagnostics;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>Which of the things a test needs are present on this machine.</summary>
public static class Programs
{
    public const string Root = "root";
    public const string Namespaces = "network namespaces";
    public const string Mounts = "mount namespaces";
    public const string PhpMailer = "libphp-phpmailer";
    public const string DkimPy = "python3-dkim";

    /// <summary>The interpreter that Debian's python3-* packages belong to.</summary>
    public const string Python = "/usr/bin/python3";

    private static readonly ConcurrentDictionary<string, bool> Answers = new(StringComparer.Ordinal);

    /// <summary>Full path of a command, also from the sbin folders; null when it is not installed.</summary>
    public static string? Find(string name)
    {
        if (name.Contains('/', StringComparison.Ordinal))
            return File.Exists(name) ? name : null;
        string path = Environment.GetEnvironmentVariable("PATH") + ":/usr/sbin:/sbin:/usr/bin:/bin";
        return path.Split(':', StringSplitOptions.RemoveEmptyEntries).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
    }

    /// <summary>Why a test with these needs cannot run here; null when it can.</summary>
    public static string? Missing(IEnumerable<string> needs)
    {
        string[] missing = [.. needs.Where(n => !Answers.GetOrAdd(n, IsPresent))];
        return missing.Length == 0 ? null : "missing here: " + string.Join(", ", missing);
    }

    private static bool IsPresent(string need) => need switch
    {
        Root => Environment.IsPrivilegedProcess,
        Namespaces => Environment.IsPrivilegedProcess && Find("ip") is not null && Succeeds("unshare", "-n", "-m", "true"),
        Mounts => Environment.IsPrivilegedProcess && Succeeds("unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"),
        PhpMailer => File.Exists("/usr/share/php/libphp-phpmailer/autoload.php"),
        DkimPy => Succeeds(Python, "-c", "import dkim"),
        _ => Find(need) is not null,
    };

    private static bool Succeeds(string file, params string[] arguments)
    {
        if (Find(file) is not { } found)
            return false;
        using var process = Process.Start(new ProcessStartInfo(found, arguments) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true })!;
        if (process.WaitForExit(TimeSpan.FromSeconds(10)))
            return process.ExitCode == 0;
        process.Kill();
        return false;
    }
}

/// <summary>A fact that needs programs or rights; where one is missing it is reported as skipped, with the reason.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class InteropFactAttribute : FactAttribute
{
    public InteropFactAttribute(params string[] needs)
    {
        Needs = needs;
        Skip = Programs.Missing(needs);
    }

    public IReadOnlyList<string> Needs { get; }
}

/// <summary>A theory that needs programs or rights; where one is missing it is reported as skipped, with the reason.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class InteropTheoryAttribute : TheoryAttribute
{
    public InteropTheoryAttribute(params string[] needs)
    {
        Needs = needs;
        Skip = Programs.Missing(needs);
    }

    public IReadOnlyList<string> Needs { get; }
}
