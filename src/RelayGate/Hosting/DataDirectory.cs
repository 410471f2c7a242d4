using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace RelayGate.Hosting;

/// <summary>The folder of the store: ours alone (0700), and locked while we run, so that two gateways never share a store.</summary>
public sealed class DataDirectory : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode Others = (UnixFileMode)0x3F;

    private const string Another = "choose a folder of its own with --data or RelayGate:DataDirectory";

    private readonly SafeFileHandle _lock;

    private DataDirectory(string path, SafeFileHandle handle)
    {
        Path = path;
        _lock = handle;
    }

    public string Path { get; }

    /// <summary>Creates the folder if it is missing, checks owner and mode, and takes the lock.</summary>
    /// <exception cref="GatewayStartException">It cannot be ours; one line says why and what to do.</exception>
    public static DataDirectory Open(string path)
    {
        try
        {
            if (!Directory.Exists(path))
                Directory.CreateDirectory(path, OwnerOnly);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new GatewayStartException(
                $"cannot create the data directory {path}: {Cause(error)}; create it for this user (install -d -m 0700 -o {Environment.UserName} {path}), or {Another}", error);
        }
        if (NativeMethods.Stat(path) is not { } stat)
            throw new GatewayStartException($"the data directory {path} may not be looked at by this user; {Another}");
        uint uid = NativeMethods.EffectiveUid();
        bool isOurs = IsOurs(path, stat.Mode);
        if (stat.Uid != uid)
        {
            throw new GatewayStartException($"the data directory {path} belongs to uid {stat.Uid}, but the gateway runs as uid {uid}; "
                + (isOurs ? $"run it as its owner, or: chown {uid} {path}" : Another));
        }
        if ((stat.Mode & Others) != UnixFileMode.None)
        {
            throw new GatewayStartException($"the data directory {path} is open to others (mode {Convert.ToString((int)stat.Mode, 8)})"
                + (isOurs ? $"; it holds mail and keys: chmod 700 {path}" : $" and has other things in it; {Another}"));
        }
        return new DataDirectory(path, TakeLock(path));
    }

    /// <summary>Whether owner and mode are ours to change: it has a store or nothing in it. Never a folder that all users share, such as /tmp.</summary>
    private static bool IsOurs(string path, UnixFileMode mode)
    {
        if (mode.HasFlag(UnixFileMode.StickyBit))
            return false;
        try
        {
            return File.Exists(System.IO.Path.Combine(path, Storage.SqliteRelayStore.FileName)) || !Directory.EnumerateFileSystemEntries(path).Any();
        }
        catch (UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The process that holds the lock, as far as the file tells.</summary>
    private static string Holder(SafeFileHandle file)
    {
        Span<byte> text = stackalloc byte[16];
        int length = RandomAccess.Read(file, text, 0);
        return int.TryParse(text[..length].Trim("\n "u8), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? $"process {pid}" : "another process";
    }

    private static SafeFileHandle TakeLock(string folder)
    {
        string path = System.IO.Path.Combine(folder, "lock");
        SafeFileHandle file = NativeMethods.OpenOrCreate(path);
        if (file.IsInvalid)
        {
            string cause = Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());
            file.Dispose();
            throw new GatewayStartException($"cannot open {path}: {cause}; the gateway must be able to write in its data directory");
        }
        if (!NativeMethods.TryLock(file))
        {
            string holder = Holder(file);
            file.Dispose();
            throw new GatewayStartException($"the data directory {folder} is in use by {holder}; stop that one first, or give this one a folder of its own with --data");
        }
        try
        {
            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n"), 0);
        }
        catch (IOException)
        {
            // A full disk: the lock itself holds without the pid, and the store reports the disk.
        }
        return file;
    }

    private static string Cause(Exception error) => error is UnauthorizedAccessException ? "permission denied" : error.Message.ReplaceLineEndings(" ");

    /// <summary>Lets go of the lock. The file stays: removing it would let two starters lock two different files.</summary>
    public void Dispose() => _lock.Dispose();
}
