using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using RelayGate.Core.Dns;

namespace RelayGate.Dns;

/// <summary>Asks one server one question: UDP from a random port with a random id, TCP when the answer was truncated.</summary>
internal sealed class DnsExchange(TimeProvider time)
{
    private const int MaxUdpOctets = 4096; // More than the 1232 offered: some servers do not listen.

    /// <returns>The response, whatever it says; null: none in time, or none that belongs to the question.</returns>
    /// <param name="wantsDnssec">Sets DO, so that a server validates which does so only for those who ask (RFC 4035 §3.2.1).</param>
    public async Task<DnsMessage?> AskAsync(IPEndPoint server, DnsQuestion question, TimeSpan limit, bool wantsDnssec = false)
    {
        using var timeout = new CancellationTokenSource(limit, time);
        try
        {
            DnsMessage? response = await AskByUdpAsync(server, question, edns: true, wantsDnssec, timeout.Token);
            if (response is { Code: DnsResponseCode.FormatError or DnsResponseCode.NotImplemented })
                response = await AskByUdpAsync(server, question, edns: false, wantsDnssec: false, timeout.Token); // RFC 6891 §7: an old server.
            return response is { IsTruncated: true } ? await AskByTcpAsync(server, question, wantsDnssec, timeout.Token) : response;
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or IOException)
        {
            return null; // Too late, nobody there, or cut off: the next server may do better.
        }
    }

    private static async Task<DnsMessage?> AskByUdpAsync(IPEndPoint server, DnsQuestion question, bool edns, bool wantsDnssec, CancellationToken cancellationToken)
    {
        var query = new byte[DnsMessage.MaxQueryOctets];
        ushort id = RandomId();
        int octets = DnsMessage.WriteQuery(query, id, question, edns, wantsDnssec);
        if (octets == 0)
            return null;
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellationToken); // Connected: the kernel drops what comes from elsewhere (RFC 5452 §9).
        await socket.SendAsync(query.AsMemory(0, octets), SocketFlags.None, cancellationToken);
        var buffer = new byte[MaxUdpOctets];
        while (true)
        {
            int received = await socket.ReceiveAsync(buffer.AsMemory(), SocketFlags.None, cancellationToken);
            if (DnsMessage.TryParse(buffer.AsSpan(0, received), out DnsMessage? response) && Belongs(response, id, question))
                return response;
        }
    }

    private static async Task<DnsMessage?> AskByTcpAsync(IPEndPoint server, DnsQuestion question, bool wantsDnssec, CancellationToken cancellationToken)
    {
        var query = new byte[2 + DnsMessage.MaxQueryOctets];
        ushort id = RandomId();
        int octets = DnsMessage.WriteQuery(query.AsSpan(2), id, question, edns: true, wantsDnssec);
        BinaryPrimitives.WriteUInt16BigEndian(query, (ushort)octets);
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server, cancellationToken);
        await using var stream = new NetworkStream(socket, ownsSocket: false);
        await stream.WriteAsync(query.AsMemory(0, 2 + octets), cancellationToken);
        var length = new byte[2];
        await stream.ReadExactlyAsync(length, cancellationToken);
        var buffer = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
        await stream.ReadExactlyAsync(buffer, cancellationToken);
        return DnsMessage.TryParse(buffer, out DnsMessage? response) && !response.IsTruncated && Belongs(response, id, question) ? response : null;
    }

    /// <summary>Id and question must be ours (RFC 5452 §9.1). Servers may leave the question out only when they refuse the query as such.</summary>
    private static bool Belongs(DnsMessage response, ushort id, DnsQuestion question) =>
        response.Id == id && (response.Question == question
            || (response.Question is null && response.Code is DnsResponseCode.FormatError or DnsResponseCode.NotImplemented));

    private static ushort RandomId()
    {
        Span<byte> octets = stackalloc byte[2];
        RandomNumberGenerator.Fill(octets);
        return BinaryPrimitives.ReadUInt16BigEndian(octets);
    }
}
