using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace RelayGate.Benchmarks;

/// <summary>
/// A TCP proxy that is as far away as a next hop on the internet: every octet arrives half a round trip later, and a connection takes a whole one.
/// It counts the messages that the next hop took by DATA.
/// </summary>
internal sealed class DelayProxy : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stop = new();
    private readonly TimeSpan _roundTrip;
    private readonly IPEndPoint _target;
    private readonly Task _accepting;
    private int _messages;
    private int _connections;

    public DelayProxy(IPEndPoint target, TimeSpan roundTrip, int port)
    {
        _target = target;
        _roundTrip = roundTrip;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
        _listener.Listen(4096);
        EndPoint = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = Task.Run(AcceptAsync);
    }

    public IPEndPoint EndPoint { get; }

    public int Messages => Volatile.Read(ref _messages);

    public int Connections => Volatile.Read(ref _connections);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ServeAsync(await _listener.AcceptAsync(_stop.Token));
        }
        catch (OperationCanceledException)
        {
            // The measurement is over.
        }
    }

    private async Task ServeAsync(Socket client)
    {
        Interlocked.Increment(ref _connections);
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using (client)
        {
            client.NoDelay = true;
            try
            {
                await Task.Delay(_roundTrip, _stop.Token); // SYN, SYN and ACK.
                await server.ConnectAsync(_target, _stop.Token);
                await Task.WhenAll(PumpAsync(client, server, count: false), PumpAsync(server, client, count: true));
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // One side went away.
            }
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool count)
    {
        var way = Channel.CreateBounded<(long Due, byte[] Octets)>(new BoundedChannelOptions(1024) { SingleReader = true, SingleWriter = true });
        Task arriving = ArriveAsync(way.Reader, to);
        try
        {
            var buffer = new byte[64 * 1024];
            long half = (long)(_roundTrip.TotalSeconds / 2 * Stopwatch.Frequency);
            bool contentDue = false;
            int read;
            while ((read = await from.ReceiveAsync(buffer, _stop.Token)) > 0)
            {
                if (count)
                    contentDue = Count(buffer.AsSpan(0, read), contentDue);
                await way.Writer.WriteAsync((Stopwatch.GetTimestamp() + half, buffer[..read]), _stop.Token);
            }
        }
        finally
        {
            way.Writer.Complete();
        }
        await arriving;
    }

    /// <summary>A next hop that has said 354 last replies next to the content.</summary>
    private bool Count(ReadOnlySpan<byte> replies, bool contentDue)
    {
        if (contentDue && replies[0] == '2')
            Interlocked.Increment(ref _messages);
        ReadOnlySpan<byte> last = replies.TrimEnd("\r\n"u8);
        return last[(last.LastIndexOf((byte)'\n') + 1)..].StartsWith("354"u8);
    }

    private async Task ArriveAsync(ChannelReader<(long Due, byte[] Octets)> way, Socket to)
    {
        await foreach ((long due, byte[] octets) in way.ReadAllAsync(_stop.Token))
        {
            TimeSpan left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
            if (left > TimeSpan.Zero)
                await Task.Delay(left, _stop.Token);
            await to.SendAsync(octets, _stop.Token);
        }
        to.Shutdown(SocketShutdown.Send);
    }
}
