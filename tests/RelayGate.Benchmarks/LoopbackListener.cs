using System.Net;
using System.Net.Sockets;

namespace RelayGate.Benchmarks;

/// <summary>Takes connections on a free port of 127.0.0.1 until it is disposed of.</summary>
internal sealed class LoopbackListener : IAsyncDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    /// <param name="serve">Owns the socket from then on, and ends with the token.</param>
    public LoopbackListener(Func<Socket, CancellationToken, Task> serve)
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(4096);
        EndPoint = (IPEndPoint)_socket.LocalEndPoint!;
        _accepting = Task.Run(() => AcceptAsync(serve));
    }

    public IPEndPoint EndPoint { get; }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _socket.Dispose();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync(Func<Socket, CancellationToken, Task> serve)
    {
        try
        {
            while (true)
            {
                Socket client = await _socket.AcceptAsync(_stop.Token);
                client.NoDelay = true;
                _ = serve(client, _stop.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The measurement is over.
        }
    }
}
