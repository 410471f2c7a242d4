using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace RelayGate.Submission;

/// <summary>The process at the other end of a unix socket, as the kernel names it: SO_PEERCRED, taken when it connected (unix(7)).</summary>
internal readonly record struct PeerCredentials(int Pid, int Uid, int Gid)
{
    private const int SolSocket = 1;
    private const int SoPeerCred = 17;

    /// <summary>Null when the connection is no unix socket or the kernel does not tell.</summary>
    public static PeerCredentials? Of(ConnectionContext connection)
    {
        if (connection.Features.Get<IConnectionSocketFeature>()?.Socket is not { AddressFamily: AddressFamily.Unix } socket)
            return null;
        Span<byte> ucred = stackalloc byte[12];
        if (socket.GetRawSocketOption(SolSocket, SoPeerCred, ucred) != ucred.Length)
            return null;
        ReadOnlySpan<int> fields = MemoryMarshal.Cast<byte, int>(ucred); // struct ucred: pid, uid, gid in the machine's byte order.
        return fields[1] == -1 ? null : new PeerCredentials(fields[0], fields[1], fields[2]);
    }
}
