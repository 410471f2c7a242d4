using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace RelayGate.Admin;

/// <summary>The process at the other end of the control socket, as the kernel names it: the login of the command line (unix(7)).</summary>
/// <param name="Groups">All groups of the process, the primary one included.</param>
internal sealed record ControlPeer(int Pid, int Uid, IReadOnlyList<uint> Groups)
{
    private const int SolSocket = 1;
    private const int SoPeerCred = 17;
    private const int SoPeerGroups = 59;
    private const int MaxGroups = 1024;

    /// <param name="features">Of a connection or a request.</param>
    /// <returns>Null when it did not come over a unix socket, or the kernel does not tell.</returns>
    public static ControlPeer? Of(IFeatureCollection features)
    {
        if (features.Get<IConnectionSocketFeature>()?.Socket is not { AddressFamily: AddressFamily.Unix } socket)
            return null;
        Span<int> credentials = stackalloc int[3]; // struct ucred: pid, uid, gid.
        if (socket.GetRawSocketOption(SolSocket, SoPeerCred, MemoryMarshal.AsBytes(credentials)) != sizeof(int) * 3 || credentials[1] == -1)
            return null;
        return new ControlPeer(credentials[0], credentials[1], [(uint)credentials[2], .. GroupsOf(socket)]);
    }

    private static uint[] GroupsOf(Socket socket)
    {
        Span<uint> groups = new uint[MaxGroups];
        try
        {
            int octets = socket.GetRawSocketOption(SolSocket, SoPeerGroups, MemoryMarshal.AsBytes(groups));
            return groups[..(octets / sizeof(uint))].ToArray();
        }
        catch (SocketException)
        {
            return []; // More than that, or a kernel without the option: the primary group still counts.
        }
    }
}
