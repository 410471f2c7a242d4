using System.Net;
using System.Net.Sockets;

namespace RelayGate.Tests.Fakes;

/// <summary>Stands before a next hop as a network would: what the client writes arrives together after a delay. Counts how often the client's side speaks anew.</summary>
public sealed class DelayingProxy : IAsyncDisposable
{
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(15);

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly IPEndPoint _target;
    private readonly Task _accepting;
    private readonly List<Task> _relaying = [];
    private int _roundTrips;

    public DelayingProxy(IPEndPoint target)
    {
        _target = target;
        _listener.Start();
        _accepting = Task.Run(AcceptAsync);
    }

    public IPEndPoint EndPoint => (IPEndPoint)_listener.LocalEndpoint;

    /// <summary>Bursts of the clients, each of which waited for what the next hop said to the one before.</summary>
    public int RoundTrips => Volatile.Read(ref _roundTrips);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        await Task.WhenAll(_relaying);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _relaying.Add(RelayAsync(await _listener.AcceptSocketAsync(_stop.Token)));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task RelayAsync(Socket client)
    {
        using var server = new Socket(_target.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using (client)
        {
            client.NoDelay = true;
            try
            {
                await server.ConnectAsync(_target, _stop.Token);
                await Task.WhenAny(CopyAsync(client, server, isClient: true), CopyAsync(server, client, isClient: false));
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // One side went away.
            }
        }
    }

    private async Task CopyAsync(Socket from, Socket to, bool isClient)
    {
        var buffer = new byte[256 * 1024];
        try
        {
            while (true)
            {
                int read = await from.ReceiveAsync(buffer, SocketFlags.None, _stop.Token);
                if (read == 0)
                    return;
                await Task.Delay(Delay, _stop.Token); // What was written together has come together.
                while (from.Available > 0 && read < buffer.Length)
                    read += await from.ReceiveAsync(buffer.AsMemory(read), SocketFlags.None, _stop.Token);
                if (isClient)
                    Interlocked.Increment(ref _roundTrips);
                await to.SendAsync(buffer.AsMemory(0, read), SocketFlags.None, _stop.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // One side went away.
        }
    }
}
