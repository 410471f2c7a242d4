using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace RelayGate.Hosting;

/// <summary>Binds the listeners' sockets for Kestrel: modes of socket files, stale files, and errors that say what to do.</summary>
/// <remarks>Only used after the data directory is locked: a socket file that nobody answers on is then a leftover of ours.</remarks>
public sealed class ListenSockets
{
    private const UnixFileMode Everybody = (UnixFileMode)0x1B6; // 0666: the kernel names the peer, and who that is decides: on the control socket a system user sees its own subscription.
    private const UnixFileMode PublicFolder = (UnixFileMode)0x1ED; // 0755: a socket everybody may use needs a folder everybody may pass.

    private readonly ConcurrentDictionary<EndPoint, Purpose> _purposes = new(ReferenceEqualityComparer.Instance);

    private sealed record Purpose(string Setting, bool IsControl, uint? Gid)
    {
        public EndPoint? Bound { get; set; }
    }

    /// <summary>Announces a socket that Kestrel is going to ask for.</summary>
    /// <param name="setting">What to change when it cannot be bound, for instance <c>listener local</c>.</param>
    /// <param name="gid">Group of a control socket.</param>
    public void Announce(EndPoint endPoint, string setting, bool isControl = false, uint? gid = null) =>
        _purposes[endPoint] = new Purpose(setting, isControl, gid);

    /// <summary>Where an announced socket listens; with the real port where any free one was asked for. Null before it is bound.</summary>
    public EndPoint? BoundTo(EndPoint announced) => _purposes.GetValueOrDefault(announced)?.Bound;

    /// <summary>Makes one bound socket.</summary>
    /// <exception cref="GatewayStartException">It cannot be bound; one line says why and what to do.</exception>
    public Socket Bind(EndPoint endPoint)
    {
        Purpose purpose = _purposes.GetValueOrDefault(endPoint) ?? new Purpose(endPoint.ToString() ?? "", false, null);
        try
        {
            if (endPoint is UnixDomainSocketEndPoint)
                ClearTheWay(endPoint.ToString()!, purpose);
            Socket socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endPoint);
            if (endPoint is UnixDomainSocketEndPoint)
                Open(endPoint.ToString()!, purpose);
            purpose.Bound = socket.LocalEndPoint;
            return socket;
        }
        catch (SocketException error)
        {
            throw new GatewayStartException(Explain(endPoint, purpose, error), error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            string cause = error is UnauthorizedAccessException ? "permission denied" : error.Message.ReplaceLineEndings(" ");
            throw new GatewayStartException(
                $"cannot make the socket {endPoint} ({purpose.Setting}): {cause}; make a folder for it (install -d -o {Environment.UserName} {Path.GetDirectoryName(endPoint.ToString())}), or choose another path", error);
        }
    }

    private static void ClearTheWay(string path, Purpose purpose)
    {
        string folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
        {
            Directory.CreateDirectory(folder);
            File.SetUnixFileMode(folder, PublicFolder);
        }
        if (NativeMethods.Stat(path) is not { } there)
            return;
        if (!there.IsSocket)
            throw new GatewayStartException($"{path} exists and is not a socket ({purpose.Setting}): remove it, or choose another path");
        using (var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            try
            {
                probe.Connect(new UnixDomainSocketEndPoint(path));
                throw new GatewayStartException($"another process listens on {path} ({purpose.Setting}): stop it, or choose another path");
            }
            catch (SocketException error) when (error.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
            {
                // Nobody answers: left behind by a gateway that was killed.
            }
        }
        File.Delete(path);
    }

    private static void Open(string path, Purpose purpose)
    {
        if (purpose.IsControl && purpose.Gid is { } gid)
            NativeMethods.TryChangeGroup(path, gid); // Without the right to, root and our own uid still administrate.
        File.SetUnixFileMode(path, Everybody);
    }

    private static string Explain(EndPoint endPoint, Purpose purpose, SocketException error)
    {
        string what = $"cannot listen on {endPoint} ({purpose.Setting}): ";
        int port = (endPoint as IPEndPoint)?.Port ?? 0;
        return what + error.SocketErrorCode switch
        {
            SocketError.AddressAlreadyInUse when port != 0 => $"another program has this port (ss -ltnp 'sport = :{port}' names it); stop it, or change the port",
            SocketError.AccessDenied when port != 0 =>
                $"ports below 1024 need a privilege; start it as root or with CAP_NET_BIND_SERVICE (the systemd unit has it), or choose a port above 1023",
            SocketError.AddressNotAvailable when port != 0 || endPoint is IPEndPoint => "this address is not on this host (ip -brief address lists those that are)",
            SocketError.AddressFamilyNotSupported => "this host has no IPv6; use an IPv4 address",
            SocketError.AccessDenied => $"{Environment.UserName} may not write to that folder; make one for it (install -d -o {Environment.UserName} FOLDER), or choose another path",
            _ => error.Message.ReplaceLineEndings(" "),
        };
    }
}
