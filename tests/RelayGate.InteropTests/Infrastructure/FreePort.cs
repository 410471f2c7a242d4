using System.Net;
using System.Net.Sockets;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>Ports below the range of outgoing connections, each given out once, so that nothing takes them meanwhile.</summary>
public static class FreePort
{
    private static int _next = 20_000 + (Environment.ProcessId * 37 % 8_000);

    public static int Next()
    {
        while (true)
        {
            int port = Interlocked.Increment(ref _next);
            try
            {
                using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException)
            {
                // Taken by somebody else: the next one.
            }
        }
    }
}
