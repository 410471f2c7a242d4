using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Storm;

/// <summary>
/// The internet of the storm: thousands of domains in the zone of a real DNS server, all with MX hosts of their own on 127.0.0.0/8, and one listener
/// that behaves as the domain whose address was dialled. The sender's own domain, shop.test, takes the reports.
/// </summary>
internal sealed class StormInternet : IAsyncDisposable
{
    private const string Home = "127.101.0.1";
    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Task, bool> _sessions = new();
    private readonly ConcurrentDictionary<string, int> _seen = new(); // What happened before, by what it is about.
    private readonly Task _accepting;
    private readonly TestFolder _folder = new();
    private BackgroundProgram? _dns;

    private StormInternet()
    {
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Any, 0));
        _listener.Listen(4096);
        Port = ((IPEndPoint)_listener.LocalEndPoint!).Port;
        _accepting = Task.Run(AcceptAsync);
    }

    public int Port { get; }

    public string Resolver { get; private set; } = "";

    public StormTally Tally { get; } = new();

    /// <summary>Closed: every host says 421.</summary>
    public bool Closed { get; set; }

    public static async Task<StormInternet> StartAsync(int domains)
    {
        var made = new StormInternet();
        await made.StartDnsAsync(domains);
        return made;
    }

    public static string NameOf(int domain) => $"d{domain}.storm.test";

    public static StormKind KindOf(string address) => StormKinds.Of(int.Parse(address.Split('@')[1].Split('.')[0][1..]));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_sessions.Keys);
        if (_dns is not null)
            await _dns.DisposeAsync();
        _folder.Dispose();
        _stop.Dispose();
    }

    private static string AddressOf(int domain, int host) => $"127.{110 + host}.{domain >> 8}.{domain & 255}";

    private async Task StartDnsAsync(int domains)
    {
        var zone = new StringBuilder($"""
            $ORIGIN .
            $TTL 3600
            . SOA ns.test. hostmaster.test. 1 3600 600 86400 60
            . NS ns.test.
            ns.test. A 127.0.0.1
            shop.test. MX 10 home.test.
            home.test. A {Home}

            """);
        var broken = new StringBuilder();
        for (int domain = 0; domain < domains; domain++)
        {
            string name = NameOf(domain);
            switch (StormKinds.Of(domain))
            {
                case StormKind.DoesNotExist:
                    continue;
                case StormKind.HasNullMx:
                    zone.AppendLine($"{name}. MX 0 .");
                    continue;
                case StormKind.IsBrokenInDns: // A zone whose file is missing: SERVFAIL.
                    broken.AppendLine($"zone:\n  name: \"{name}.\"\n  zonefile: \"missing\"");
                    continue;
                case StormKind.HasDeadFirstMx:
                    zone.AppendLine($"{name}. MX 5 mx0.{name}.\nmx0.{name}. A {AddressOf(domain, 1)}");
                    break;
            }
            zone.AppendLine($"{name}. MX 10 mx.{name}.\nmx.{name}. A {AddressOf(domain, 0)}");
        }
        _folder.Write("zone", zone.ToString());
        int port = FreePort.Next();
        string configuration = _folder.Write("nsd.conf", $"""
            server:
              ip-address: 127.0.0.1@{port}
              username: ""
              chroot: ""
              zonesdir: "{_folder.FullName}"
              database: ""
              pidfile: "{_folder["nsd.pid"]}"
              xfrdfile: "{_folder["xfrd"]}"
              zonelistfile: "{_folder["zones"]}"
              xfrdir: "{_folder.FullName}"
              server-count: 1
              tcp-count: 200
            remote-control:
              control-enable: no
            zone:
              name: "."
              zonefile: "zone"

            """ + broken);
        _dns = BackgroundProgram.Start("nsd", ["-d", "-c", configuration], _folder.FullName);
        await _dns.SaysAsync("nsd started", TimeSpan.FromSeconds(20));
        Resolver = $"127.0.0.1:{port}";
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket client = await _listener.AcceptAsync(_stop.Token);
                Task session = Task.Run(() => ServeAsync(client));
                _sessions[session] = true;
                _ = session.ContinueWith(t => _sessions.TryRemove(t, out _), TaskScheduler.Default);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                // Disposed, or a client that gave up while it waited.
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        socket.NoDelay = true;
        using var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            byte[] address = ((IPEndPoint)socket.LocalEndPoint!).Address.GetAddressBytes();
            int domain = (address[2] << 8) | address[3];
            bool isHome = address[1] == 101;
            StormKind kind = isHome ? StormKind.Good : address[1] == 111 ? StormKind.ClosesAtOnce : StormKinds.Of(domain);
            using var session = new StormSession(this, socket, stream, kind, isHome ? null : domain);
            await session.RunAsync(_stop.Token);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // The peer went away, was killed, or the test is over.
        }
    }

    /// <summary>How often this has happened, this time included.</summary>
    public int Count(string what) => _seen.AddOrUpdate(what, 1, static (_, n) => n + 1);
}
