using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using RelayGate.Core.Messages;

namespace RelayGate.Submission;

/// <summary>Reads the small files and links of /proc in a call or two, without the locks, seeks and exceptions of ordinary files.</summary>
[SuppressMessage("Interoperability", "CA5392", Justification = "libc is loaded already.")]
internal static partial class ProcFiles
{
    private const int CloseOnExec = 0x80000;
    private const int BootTime = 7; // CLOCK_BOOTTIME: the one that start times of processes are told in.
    private const short Readable = 1; // POLLIN.

    /// <summary>The beginning of a file; empty when it cannot be read.</summary>
    public static unsafe ReadOnlySpan<byte> Read(string path, Span<byte> buffer)
    {
        using SafeFileHandle file = Open(path, CloseOnExec);
        if (file.IsInvalid)
            return [];
        fixed (byte* octets = buffer)
            return buffer[..(int)Math.Max(Read(file, octets, buffer.Length), 0)]; // The kernel gives such a file as a whole.
    }

    /// <summary>Where a link points to; null when that may not be looked at or is as long as the buffer.</summary>
    public static unsafe string? ReadLink(string path, Span<byte> buffer)
    {
        fixed (byte* octets = buffer)
        {
            nint length = ReadLink(path, octets, buffer.Length);
            return length > 0 && length < buffer.Length ? Clean(buffer[..(int)length]) : null;
        }
    }

    /// <summary>Whether the process of a pidfd has not ended (pidfd_open(2)).</summary>
    public static unsafe bool IsRunning(SafeFileHandle process)
    {
        var poll = new PollDescriptor { Descriptor = (int)process.DangerousGetHandle(), Events = Readable };
        return Poll(&poll, 1, 0) == 0;
    }

    public static unsafe TimeSpan SinceBoot()
    {
        long* time = stackalloc long[2];
        return GetTime(BootTime, time) == 0 ? TimeSpan.FromSeconds(time[0]) + TimeSpan.FromMicroseconds(time[1] / 1000) : TimeSpan.Zero;
    }

    /// <summary>Text that may stand in a record: names and paths are octets, and may hold control characters.</summary>
    public static string Clean(ReadOnlySpan<byte> octets) => PrintableText.Clean(Encoding.UTF8.GetString(octets), '?');

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "read")]
    private static unsafe partial nint Read(SafeFileHandle file, byte* buffer, nint octets);

    [LibraryImport("libc", EntryPoint = "readlink", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial nint ReadLink(string path, byte* buffer, nint octets);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static unsafe partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static unsafe partial int GetTime(int clock, long* time);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}
