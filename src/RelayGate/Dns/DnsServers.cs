using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Dns;

/// <summary>The servers to ask: the configured one, else those of /etc/resolv.conf, read again from time to time.</summary>
public sealed class DnsServers
{
    private const int Port = 53;
    private const int MaxServers = 3; // As resolv.conf(5).
    private const string SystemFile = "/etc/resolv.conf";

    private static readonly TimeSpan RereadAfter = TimeSpan.FromSeconds(30);

    private readonly TimeProvider _time;
    private readonly string? _file;
    private volatile Snapshot _snapshot;

    /// <param name="configured"><c>ip</c> or <c>ip:port</c>; null: the system's.</param>
    /// <exception cref="FormatException">The configured server is no address.</exception>
    public DnsServers(string? configured, TimeProvider time, string systemFile = SystemFile)
    {
        _time = time;
        if (configured is not null)
        {
            _snapshot = new Snapshot([Parse(configured) ?? throw new FormatException($"'{configured}' is not ip:port of a DNS server")], 0);
            return;
        }
        _file = systemFile;
        _snapshot = Read();
    }

    public ImmutableArray<IPEndPoint> Current
    {
        get
        {
            if (_file is not null && _time.GetElapsedTime(_snapshot.ReadAt) > RereadAfter)
                _snapshot = Read();
            return _snapshot.Servers;
        }
    }

    private Snapshot Read()
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(_file!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            lines = []; // resolv.conf(5): without the file, the server on this machine is asked.
        }
        ImmutableArray<IPEndPoint> servers = [.. lines.Select(ServerOf).OfType<IPEndPoint>().Take(MaxServers)];
        return new Snapshot(servers.IsEmpty ? [new IPEndPoint(IPAddress.Loopback, Port)] : servers, _time.GetTimestamp());
    }

    private static IPEndPoint? ServerOf(string line)
    {
        string[] words = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        return words.Length >= 2 && words[0] == "nameserver" && IPAddress.TryParse(words[1], out IPAddress? address) ? new IPEndPoint(address, Port) : null;
    }

    private static IPEndPoint? Parse(string text)
    {
        if (IPAddress.TryParse(text, out IPAddress? address))
            return new IPEndPoint(address, Port);
        return IPEndPoint.TryParse(text, out IPEndPoint? endPoint) && endPoint.Port != 0 ? endPoint : null;
    }

    private sealed record Snapshot(ImmutableArray<IPEndPoint> Servers, long ReadAt);
}
