using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Win32.SafeHandles;
using RelayGate.Core.Policy;

namespace RelayGate.Submission;

/// <summary>Reads from the kernel which process connected to a unix socket (unix(7), proc(5)). Costs some microseconds and never waits for the process.</summary>
/// <remarks>
/// A pid is only a number: its process may be gone, and the number given to another. What was read of it counts only when it is proved afterwards
/// that it was the peer's all the time. With SO_PEERPIDFD (Linux 6.5) the proof is that the peer itself still runs: its pid cannot have been given
/// away. Without it the process must have been started before the reading began, and be the same one at its end. In both its effective uid must be
/// the one of SO_PEERCRED. A parent is proved by its child: as long as that lives and names it as parent, it lives itself.
/// Files that make the kernel look into the memory of a process (cmdline, environ) are not read: a process can make such a read hang.
/// </remarks>
internal sealed class ProcessReader(string root = "/proc")
{
    /// <summary>Processes looked at above the peer, at most: a shell or two, and the program that called them.</summary>
    public const int MaxParents = 4;

    private const int MaxFileOctets = 4096; // status has about 1.5 KiB; of a longer file the rest is not needed.
    private const int MaxPathOctets = 1024; // A longer path is unknown.
    private const int TicksPerSecond = 100; // USER_HZ of every Linux.
    private const int SolSocket = 1;
    private const int SoPeerCred = 17;
    private const int SoPeerPidFd = 77;
    private const int NoSuchOption = 92; // ENOPROTOOPT.

    /// <summary>Whether executable and working directory of other users' processes may be looked at: CAP_SYS_PTRACE, judged by process 1.</summary>
    public static bool CanReadPaths()
    {
        Span<byte> buffer = stackalloc byte[MaxPathOctets];
        return ProcFiles.ReadLink("/proc/1/exe", buffer) is not null && ProcFiles.ReadLink("/proc/1/cwd", buffer) is not null;
    }

    /// <returns>Null when the connection is no unix socket or the kernel does not name its peer.</returns>
    public PeerProcess? PeerOf(ConnectionContext connection) =>
        connection.Features.Get<IConnectionSocketFeature>()?.Socket is { AddressFamily: AddressFamily.Unix } socket ? PeerOf(socket) : null;

    /// <param name="socket">A connected unix socket.</param>
    public PeerProcess? PeerOf(Socket socket)
    {
        Span<int> credentials = stackalloc int[3]; // struct ucred: pid, uid, gid.
        if (socket.GetRawSocketOption(SolSocket, SoPeerCred, MemoryMarshal.AsBytes(credentials)) != sizeof(int) * 3 || credentials[1] == -1)
            return null;
        var peer = new PeerProcess(credentials[1], credentials[2], credentials[0] > 0 ? credentials[0] : null);
        if (!TryHandle(socket, out SafeFileHandle? process))
            return peer;
        using (process)
            return Read(peer, process);
    }

    /// <summary>Adds what can be proved.</summary>
    /// <param name="peer">Credentials of the peer.</param>
    /// <param name="process">Its pidfd, or null where the kernel has none.</param>
    public PeerProcess Read(PeerProcess peer, SafeFileHandle? process)
    {
        if (peer.Pid is not { } pid)
            return peer;
        Span<byte> buffer = stackalloc byte[MaxFileOctets];
        TimeSpan began = ProcFiles.SinceBoot();
        long? started = process is null ? StartOf(pid, buffer) : null;
        if (process is null && (started is not { } ticks || TimeSpan.FromSeconds((double)ticks / TicksPerSecond) >= began))
            return peer;
        if (StatusOf(pid, buffer) is not { } status || status.Uid != peer.Uid)
            return peer;
        PeerProcess read = peer with
        {
            Command = status.Name,
            Executable = ProcFiles.ReadLink($"{root}/{pid}/exe", buffer[..MaxPathOctets]),
            WorkingDirectory = ProcFiles.ReadLink($"{root}/{pid}/cwd", buffer[..MaxPathOctets]),
            ControlGroup = ControlGroupOf(pid, buffer),
        };
        var parents = new List<ParentProcess>(MaxParents);
        for (ProcessStatus child = status; PeerProcess.PassesOn(child.Name) && parents.Count < MaxParents && child.Parent > 0;)
        {
            int parent = child.Parent;
            if (StatusOf(parent, buffer) is not { } found)
                break;
            parents.Add(new ParentProcess(parent, found.Uid, found.Name, ProcFiles.ReadLink($"{root}/{parent}/exe", buffer[..MaxPathOctets])));
            child = found;
        }
        int proved = Proved(pid, parents, buffer); // Before the peer itself: it proves its parent.
        return IsStill(pid, process, started, buffer) ? read with { Parents = [.. parents.Take(proved)] } : peer;
    }

    /// <summary>
    /// How many parents are proved. From the outermost in: a process that its child names as parent now has been alive up to now, and so what was read
    /// of it before was its own.
    /// </summary>
    private int Proved(int pid, List<ParentProcess> parents, Span<byte> buffer)
    {
        int proved = parents.Count;
        for (int i = parents.Count - 1; i >= 0; i--)
        {
            if (StatusOf(i == 0 ? pid : parents[i - 1].Pid, buffer)?.Parent != parents[i].Pid)
                proved = i;
        }
        return proved;
    }

    private bool IsStill(int pid, SafeFileHandle? process, long? started, Span<byte> buffer) =>
        process is null ? StartOf(pid, buffer) == started : ProcFiles.IsRunning(process);

    /// <param name="process">The pidfd of the peer; null where the kernel is older than Linux 6.5.</param>
    /// <returns>False: the kernel has none for this process any more (or could not make one). Its pid may be another's by now, so nothing is read.</returns>
    private static bool TryHandle(Socket socket, out SafeFileHandle? process)
    {
        Span<byte> descriptor = stackalloc byte[sizeof(int)];
        process = null;
        try
        {
            if (socket.GetRawSocketOption(SolSocket, SoPeerPidFd, descriptor) != sizeof(int))
                return false;
            process = new SafeFileHandle(MemoryMarshal.Read<int>(descriptor), ownsHandle: true);
            return true;
        }
        catch (SocketException e)
        {
            return e.NativeErrorCode == NoSuchOption;
        }
    }

    private ProcessStatus? StatusOf(int pid, Span<byte> buffer)
    {
        ReadOnlySpan<byte> text = ProcFiles.Read($"{root}/{pid}/status", buffer);
        return text.StartsWith("Name:\t"u8) // What stands in the name is escaped, so no field can be made up in it.
            && TryNumber(Field(text, "\nPPid:\t"u8), out int parent)
            && TryNumber(Second(Field(text, "\nUid:\t"u8)), out int uid) // Real, effective, saved, file system.
            ? new ProcessStatus(ProcFiles.Clean(Field(text, "Name:\t"u8)), parent, uid)
            : null;
    }

    /// <summary>Start time in ticks since boot, the 22nd field of stat; the second one is the name in brackets and may hold anything.</summary>
    private long? StartOf(int pid, Span<byte> buffer)
    {
        ReadOnlySpan<byte> text = ProcFiles.Read($"{root}/{pid}/stat", buffer);
        ReadOnlySpan<byte> fields = text[(text.LastIndexOf((byte)')') + 1)..].TrimStart((byte)' ');
        int field = 2;
        foreach (Range range in fields.Split((byte)' '))
        {
            if (++field == 22)
                return long.TryParse(fields[range], CultureInfo.InvariantCulture, out long ticks) ? ticks : null;
        }
        return null;
    }

    /// <summary>The group of the unified hierarchy, else that of systemd's own (cgroups(7)).</summary>
    private string? ControlGroupOf(int pid, Span<byte> buffer)
    {
        ReadOnlySpan<byte> text = ProcFiles.Read($"{root}/{pid}/cgroup", buffer);
        if (text.Length == buffer.Length)
            return null; // Cut somewhere.
        string? group = null;
        foreach (Range range in text.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = text[range];
            if (line.StartsWith("0::"u8) && line.Length > 4)
                return ProcFiles.Clean(line[3..]);
            int name = line.IndexOf(":name=systemd:"u8);
            if (name > 0)
                group = ProcFiles.Clean(line[(name + ":name=systemd:".Length)..]);
        }
        return group;
    }

    private static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> text, ReadOnlySpan<byte> name)
    {
        int at = text.IndexOf(name);
        ReadOnlySpan<byte> rest = at < 0 ? [] : text[(at + name.Length)..];
        int end = rest.IndexOf((byte)'\n');
        return end < 0 ? [] : rest[..end];
    }

    private static ReadOnlySpan<byte> Second(ReadOnlySpan<byte> fields)
    {
        int tab = fields.IndexOf((byte)'\t');
        ReadOnlySpan<byte> rest = tab < 0 ? [] : fields[(tab + 1)..];
        int end = rest.IndexOf((byte)'\t');
        return end < 0 ? rest : rest[..end];
    }

    private static bool TryNumber(ReadOnlySpan<byte> text, out int number)
    {
        bool isNumber = uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint value);
        number = (int)value;
        return isNumber;
    }

    private readonly record struct ProcessStatus(string Name, int Parent, int Uid);
}
