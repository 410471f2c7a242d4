using System.Runtime.InteropServices;
using System.Text;

namespace RelayGate.Sendmail;

/// <summary>Standard error, by write(2).</summary>
/// <remarks>
/// <see cref="Console"/> starts a thread before it writes, which fails where address space is short; a FileStream writes at an offset of its own
/// and so over what others have written to the same file.
/// </remarks>
internal static class ErrorOutput
{
    private const int StandardError = 2;

    public static void WriteLine(string line)
    {
        byte[] octets = Encoding.UTF8.GetBytes(line + "\n");
        _ = Write(StandardError, octets, octets.Length); // Closed or full: the exit code has to do.
    }

    [DllImport("libc", EntryPoint = "write")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static extern nint Write(int descriptor, byte[] octets, nint count);
}
