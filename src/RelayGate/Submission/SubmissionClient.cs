using System.Net;
using Microsoft.AspNetCore.Connections;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Submission;

/// <summary>Who connected and by which rules: fixed for the life of a connection.</summary>
/// <param name="Address">Null on a unix socket.</param>
/// <param name="Process">Null except on a unix socket.</param>
/// <param name="Tls">The listener's mode, or its <c>LoopbackTls</c> for a client on loopback.</param>
internal sealed record SubmissionClient(string Listener, IPAddress? Address, PeerProcess? Process, bool IsUnix, ListenerTls Tls)
{
    public bool IsLoopback => Address is not null && IPAddress.IsLoopback(Address);

    /// <summary>On this machine, where a password or a bare LF cannot come from somebody in between.</summary>
    public bool IsLocal => IsUnix || IsLoopback;

    /// <summary>Key for counting sessions and failed logins; null for clients that share one address.</summary>
    public string? AddressKey { get; } = Address is null || IPAddress.IsLoopback(Address) ? null : SessionTable.KeyOf(Address);

    public static SubmissionClient Of(ConnectionContext connection, ListenerOptions listener, ProcessReader processes)
    {
        if (connection.RemoteEndPoint is not IPEndPoint remote)
            return new SubmissionClient(listener.Name, null, processes.PeerOf(connection), IsUnix: true, listener.Tls);
        IPAddress address = remote.Address.IsIPv4MappedToIPv6 ? remote.Address.MapToIPv4() : remote.Address;
        ListenerTls tls = listener.Tls == ListenerTls.StartTls && IPAddress.IsLoopback(address) ? listener.LoopbackTls : listener.Tls;
        return new SubmissionClient(listener.Name, address, null, IsUnix: false, tls);
    }
}
