using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace RelayGate.Benchmarks;

/// <summary>
/// A TCP proxy that is as far away as a next hop on the internet: every octet arrives half a round trip later, and a connection takes a whole one.
/// </summary>
internal sealed class DelayProxy : IAsyncDisposable
{
    private readonly LoopbackListener _listener;
    private readonly TimeSpan _roundTrip;
    private readonly IPEndPoint _target;
    private int _connections;

    public DelayProxy(IPEndPoint target, TimeSpan roundTrip)
    {
        _target = target;
        _roundTrip = roundTrip;
        _listener = new LoopbackListener(ServeAsync);
    }

    public IPEndPoint EndPoint => _listener.EndPoint;

    public int Connections => Volatile.Read(ref _connections);

    public ValueTask DisposeAsync() => _listener.DisposeAsync();

    private async Task ServeAsync(Socket client, CancellationToken stop)
    {
        Interlocked.Increment(ref _connections);
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using (client)
        {
            try
            {
                await Task.Delay(_roundTrip, stop); // SYN, SYN and ACK.
                await server.ConnectAsync(_target, stop);
                await Task.WhenAll(PumpAsync(client, server, stop), PumpAsync(server, client, stop));
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // One side went away.
            }
        }
    }

    private async Task PumpAsync(Socket from, Socket to, CancellationToken stop)
    {
        var way = Channel.CreateBounded<(long Due, byte[] Octets)>(new BoundedChannelOptions(1024) { SingleReader = true, SingleWriter = true });
        Task arriving = ArriveAsync(way.Reader, to, stop);
        try
        {
            var buffer = new byte[64 * 1024];
            long half = (long)(_roundTrip.TotalSeconds / 2 * Stopwatch.Frequency);
            int read;
            while ((read = await from.ReceiveAsync(buffer, stop)) > 0)
            {
                await way.Writer.WriteAsync((Stopwatch.GetTimestamp() + half, buffer[..read]), stop);
            }
        }
        finally
        {
            way.Writer.Complete();
        }
        await arriving;
    }

    private static async Task ArriveAsync(ChannelReader<(long Due, byte[] Octets)> way, Socket to, CancellationToken stop)
    {
        await foreach ((long due, byte[] octets) in way.ReadAllAsync(stop))
        {
            TimeSpan left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due);
            if (left > TimeSpan.Zero)
                await Task.Delay(left, stop);
            await to.SendAsync(octets, stop);
        }
        to.Shutdown(SocketShutdown.Send);
    }
}
