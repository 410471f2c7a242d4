using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace RelayGate.Hosting;

/// <summary>The few calls of Linux that the base class library does not offer.</summary>
internal static partial class NativeMethods
{
    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int NoFollow = 0x20000;
    private const int CloseOnExec = 0x80000;
    private const int ExclusiveNonBlocking = 2 | 4;
    private const int CurrentFolder = -100;
    private const uint StatModeAndUid = 0x1 | 0x2 | 0x8;
    private const int ModeOffset = 28;
    private const int UidOffset = 20;
    private const int StatxOctets = 256;
    private const int FileTypeMask = 0xF000;
    private const int FileTypeSocket = 0xC000;

    /// <summary>Opens or creates a file of mode 0600 for reading and writing; the handle is invalid on error.</summary>
    public static SafeFileHandle OpenOrCreate(string path) => Open(path, ReadWrite | Create | NoFollow | CloseOnExec, 0x180);

    /// <summary>Takes an exclusive advisory lock that ends with the handle; false when another holder has it.</summary>
    public static bool TryLock(SafeFileHandle file) => FLock(file, ExclusiveNonBlocking) == 0;

    /// <summary>Owner and permission bits of a file; null when there is none or it may not be looked at.</summary>
    public static unsafe (uint Uid, UnixFileMode Mode, bool IsSocket)? Stat(string path)
    {
        byte* buffer = stackalloc byte[StatxOctets];
        if (StatX(CurrentFolder, path, 0, StatModeAndUid, buffer) != 0)
            return null;
        ushort mode = *(ushort*)(buffer + ModeOffset);
        return (*(uint*)(buffer + UidOffset), (UnixFileMode)(mode & 0xFFF), (mode & FileTypeMask) == FileTypeSocket);
    }

    /// <summary>The id of a system group; null when there is none of that name.</summary>
    public static unsafe uint? GroupId(string name)
    {
        const int GidOffset = 16; // After two pointers.
        byte* text = stackalloc byte[16 * 1024];
        byte* entry = stackalloc byte[64];
        void* found;
        return GetGroup(name, entry, text, 16 * 1024, &found) == 0 && found is not null ? *(uint*)(entry + GidOffset) : null;
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint EffectiveUid();

    /// <summary>Gives a file to a group; the owner stays.</summary>
    public static bool TryChangeGroup(string path, uint gid) => ChangeOwner(path, uint.MaxValue, gid) == 0;

    [LibraryImport("libc", EntryPoint = "umask")]
    public static partial uint SetUmask(uint mask);

    /// <summary>Sets how a signal is handled; 0 is the default handling.</summary>
    [LibraryImport("libc", EntryPoint = "signal")]
    public static partial nint SetSignal(int signal, nint handler);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FLock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int folder, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "getgrnam_r", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int GetGroup(string name, byte* entry, byte* text, nint octets, void** found);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwner(string path, uint uid, uint gid);
}
