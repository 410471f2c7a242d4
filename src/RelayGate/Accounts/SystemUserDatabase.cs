using System.Buffers;
using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;

namespace RelayGate.Accounts;

/// <summary>A user of the operating system, as the C library knows it (files, LDAP or whatever nsswitch.conf names).</summary>
public sealed record SystemUserEntry(int Uid, int Gid, string Name);

/// <summary>Looks users up by <c>getpwnam_r</c> and <c>getpwuid_r</c>: the framework has no call for it. May block on a remote directory.</summary>
public static partial class SystemUserDatabase
{
    private const int FirstBuffer = 4096;
    private const int LargestBuffer = 1 << 20;
    private const int OutOfRoom = 34; // ERANGE.

    /// <exception cref="Win32Exception">The user database cannot be read.</exception>
    public static bool TryFind(string name, [NotNullWhen(true)] out SystemUserEntry? entry) =>
        TryFind((ref Passwd passwd, byte[] buffer, out nint result) => GetByName(name, ref passwd, buffer, (nuint)buffer.Length, out result), out entry);

    /// <exception cref="Win32Exception">The user database cannot be read.</exception>
    public static bool TryFind(int uid, [NotNullWhen(true)] out SystemUserEntry? entry) =>
        TryFind((ref Passwd passwd, byte[] buffer, out nint result) => GetByUid((uint)uid, ref passwd, buffer, (nuint)buffer.Length, out result), out entry);

    private delegate int LookUp(ref Passwd passwd, byte[] buffer, out nint result);

    private static bool TryFind(LookUp lookUp, [NotNullWhen(true)] out SystemUserEntry? entry)
    {
        entry = null;
        for (int size = FirstBuffer; ; size *= 4)
        {
            byte[] buffer = ArrayPool<byte>.Shared.Rent(size);
            GCHandle pinned = GCHandle.Alloc(buffer, GCHandleType.Pinned); // The entry points into it.
            try
            {
                var passwd = default(Passwd);
                int error = lookUp(ref passwd, buffer, out nint result);
                if (error == OutOfRoom && size < LargestBuffer)
                    continue;
                if (error is not (0 or 2 or 3)) // ENOENT and ESRCH also mean "no such user".
                    throw new Win32Exception(error, "The user database cannot be read");
                if (result == 0)
                    return false;
                entry = new SystemUserEntry((int)passwd.Uid, (int)passwd.Gid, Marshal.PtrToStringUTF8(passwd.Name) ?? "");
                return true;
            }
            finally
            {
                pinned.Free();
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "getpwnam_r", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetByName(string name, ref Passwd passwd, byte[] buffer, nuint length, out nint result);

    [LibraryImport("libc", EntryPoint = "getpwuid_r")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetByUid(uint uid, ref Passwd passwd, byte[] buffer, nuint length, out nint result);

    /// <summary><c>struct passwd</c> of glibc and musl on 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Passwd
    {
        public nint Name;
        public nint Password;
        public uint Uid;
        public uint Gid;
        public nint Gecos;
        public nint Directory;
        public nint Shell;
    }
}
