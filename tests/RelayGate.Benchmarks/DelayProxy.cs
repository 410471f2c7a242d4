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
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stop = new();
    private readonly TimeSpan _roundTrip;
    private readonly IPEndPoint _target;
    private readonly Task _accepting;
    private int _connections;

    public DelayProxy(IPEndPoint target, TimeSpan roundTrip)
    {
        _target = target;
        _roundTrip = roundTrip;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(4096);
        EndPoint = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = Task.Run(AcceptAsync);
    }

    public IPEndPoint EndPoint { get; }

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
                await Task.WhenAll(PumpAsync(client, server), PumpAsync(server, client));
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // One side went away.
            }
        }
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        var way = Channel.CreateBounded<(long Due, byte[] Octets)>(new BoundedChannelOptions(1024) { SingleReader = true, SingleWriter = true });
        Task arriving = ArriveAsync(way.Reader, to);
        try
        {
            var buffer = new byte[64 * 1024];
            long half = (long)(_roundTrip.TotalSeconds / 2 * Stopwatch.Frequency);
            int read;
            while ((read = await from.ReceiveAsync(buffer, _stop.Token)) > 0)
            {
                await way.Writer.WriteAsync((Stopwatch.GetTimestamp() + half, buffer[..read]), _stop.Token);
            }
        }
        finally
        {
            way.Writer.Complete();
        }
        await arriving;
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
