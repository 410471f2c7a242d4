using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using RelayGate.Admin;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Smtp;
using RelayGate.Delivery;
using RelayGate.Dns;

namespace RelayGate.Hosting;

/// <summary>Asks a server outside as which address it sees one of ours: STUN (RFC 8489), or what an SMTP server says to EHLO.</summary>
/// <remarks>
/// Many servers name the client in their reply to EHLO (Gmail, Exchange, Exim, Sendmail); Postfix does not, which then says nothing. No mail is
/// offered. Addresses in private use that are named are told as they are: somebody in between translates.
/// </remarks>
internal sealed partial class EgressProbe(DnsResolver dns)
{
    private const int MaxReplyOctets = 4096;
    private const uint MagicCookie = 0x2112A442;
    private const int StunHeader = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public async Task<AddressSighting> RunAsync(IPAddress address, string helo, ProbeTarget target, CancellationToken cancellationToken)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        bound.CancelAfter(Patience);
        try
        {
            if (await FindAsync(target.Host, address.AddressFamily, bound.Token) is not { } remote)
                return Nothing($"{target.Host} has no {(address.AddressFamily == AddressFamily.InterNetwork ? "IPv4" : "IPv6")} address");
            var endPoint = new IPEndPoint(remote, target.Port);
            using var socket = new Socket(address.AddressFamily, target.IsStun ? SocketType.Dgram : SocketType.Stream, target.IsStun ? ProtocolType.Udp : ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(address, 0));
            await socket.ConnectAsync(endPoint, bound.Token);
            string local = ((IPEndPoint)socket.LocalEndPoint!).Address.ToString();
            return target.IsStun ? await AskStunAsync(socket, local, bound.Token) : await AskSmtpAsync(socket, local, helo, bound.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return Nothing($"no answer from {target} within {Patience.TotalSeconds:0} s");
        }
        catch (SocketException e)
        {
            return Nothing(e.SocketErrorCode is SocketError.AddressNotAvailable ? $"{address} is not on this host" : $"no connection from {address} to {target} ({e.SocketErrorCode})");
        }
        catch (IOException)
        {
            return Nothing($"{target} ended the connection");
        }
    }

    private async ValueTask<IPAddress?> FindAsync(string host, AddressFamily family, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(host, out IPAddress? literal))
            return literal.AddressFamily == family ? literal : null;
        DnsAnswer answer = await dns.ResolveAsync(new DnsQuestion(host, family == AddressFamily.InterNetwork ? DnsType.A : DnsType.Aaaa), cancellationToken);
        return answer.Records.OfType<AddressRecord>().FirstOrDefault()?.Address;
    }

    private static async Task<AddressSighting> AskSmtpAsync(Socket socket, string local, string helo, CancellationToken cancellationToken)
    {
        await using var stream = new NetworkStream(socket, ownsSocket: false);
        string greeting = await ReadReplyAsync(stream, cancellationToken);
        if (!greeting.StartsWith("220", StringComparison.Ordinal))
            return new AddressSighting(local, SeenIn(greeting)?.Address, FirstLine(greeting), $"it does not greet: {FirstLine(greeting)}");
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"EHLO {helo}\r\n"), cancellationToken);
        string reply = await ReadReplyAsync(stream, cancellationToken);
        await stream.WriteAsync("QUIT\r\n"u8.ToArray(), cancellationToken);
        return SeenIn(reply) is { } seen ? new AddressSighting(local, seen.Address, seen.Line, null) : new AddressSighting(local, null, FirstLine(reply), null);
    }

    private static async Task<string> ReadReplyAsync(NetworkStream stream, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[MaxReplyOctets];
        int length = 0;
        while (length < buffer.Length)
        {
            int read = await stream.ReadAsync(buffer.AsMemory(length), cancellationToken);
            if (read == 0)
                break;
            length += read;
            string text = Encoding.UTF8.GetString(buffer, 0, length);
            if (text.EndsWith('\n') && text.TrimEnd().Split('\n')[^1] is [_, _, _, ' ' or '\r', ..] or [_, _, _])
                return text;
        }
        return Encoding.UTF8.GetString(buffer, 0, length);
    }

    /// <summary>The first address that a reply names.</summary>
    private static (string Address, string Line)? SeenIn(string reply)
    {
        foreach (string line in reply.Split('\n'))
        {
            foreach (Match match in AddressText().Matches(line))
            {
                if (ListenerEndpoint.TryParseAddress(match.Value, out IPAddress? address) && (match.Value.Contains(':') || match.Value.Count(static c => c == '.') == 3))
                    return (address.ToString(), RemoteReply.Clean(Encoding.UTF8.GetBytes(line.TrimEnd())));
            }
        }
        return null;
    }

    private static string FirstLine(string reply) => RemoteReply.Clean(Encoding.UTF8.GetBytes(reply.Split('\n')[0].TrimEnd()));

    private static async Task<AddressSighting> AskStunAsync(Socket socket, string local, CancellationToken cancellationToken)
    {
        byte[] request = new byte[StunHeader];
        request[1] = 1; // Binding request, without attributes.
        BinaryPrimitives.WriteUInt32BigEndian(request.AsSpan(4), MagicCookie);
        RandomNumberGenerator.Fill(request.AsSpan(8));
        byte[] reply = new byte[1500];
        while (true)
        {
            await socket.SendAsync(request, cancellationToken);
            using var round = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            round.CancelAfter(TimeSpan.FromSeconds(2)); // UDP: what is lost is sent again.
            try
            {
                int length = await socket.ReceiveAsync(reply, round.Token);
                if (StunAddress(reply.AsSpan(0, length), request) is { } seen)
                    return new AddressSighting(local, seen.ToString(), null, null);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Again.
            }
        }
    }

    /// <summary>XOR-MAPPED-ADDRESS of a success response (RFC 8489 §14.2).</summary>
    private static IPAddress? StunAddress(ReadOnlySpan<byte> reply, ReadOnlySpan<byte> request)
    {
        if (reply.Length < StunHeader || reply[0] != 1 || reply[1] != 1 || !reply[4..StunHeader].SequenceEqual(request[4..]))
            return null;
        for (ReadOnlySpan<byte> rest = reply[StunHeader..]; rest.Length >= 4;)
        {
            int type = BinaryPrimitives.ReadUInt16BigEndian(rest), length = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
            if (rest.Length < 4 + length)
                return null;
            if (type == 0x0020 && length is 8 or 20)
            {
                byte[] octets = rest.Slice(8, length - 4).ToArray();
                for (int i = 0; i < octets.Length; i++)
                    octets[i] ^= request[4 + i]; // The cookie, and for IPv6 the transaction id behind it.
                return new IPAddress(octets);
            }
            rest = rest[Math.Min(rest.Length, 4 + (length + 3 & ~3))..];
        }
        return null;
    }

    private static AddressSighting Nothing(string fault) => new(null, null, null, fault);

    [GeneratedRegex(@"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w.:])", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex AddressText();
}
