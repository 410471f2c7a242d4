using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Dns;

/// <summary>The servers to ask: the configured ones, else those of /etc/resolv.conf, read again from time to time; and whether they are trusted.</summary>
/// <remarks>
/// A server that is trusted is believed that it has validated an answer (the AD bit), on which DANE rests. Anyone on the way to a server can set that
/// bit, and a forwarder passes on what it is given, so that nothing is trusted by itself: the administrator says so, here (<c>ResolverTrusted</c>)
/// or, for servers on this machine, in resolv.conf with <c>options trust-ad</c>, as the C library asks for it (resolv.conf(5)).
/// </remarks>
public sealed class DnsServers
{
    private const int Port = 53;
    private const int MaxServers = 3; // As resolv.conf(5).
    private const string SystemFile = "/etc/resolv.conf";

    private static readonly TimeSpan RereadAfter = TimeSpan.FromSeconds(30);

    private readonly TimeProvider _time;
    private readonly string? _file;
    private readonly bool? _trusted;
    private volatile Snapshot _snapshot;

    /// <param name="configured"><c>ip</c> or <c>ip:port</c>, up to three with commas; null: the system's.</param>
    /// <param name="trusted">Whether they are trusted; null: the configured ones are not, the system's if resolv.conf says so and they are on loopback.</param>
    /// <exception cref="FormatException">A configured server is no address.</exception>
    public DnsServers(string? configured, TimeProvider time, bool? trusted = null, string systemFile = SystemFile)
    {
        _time = time;
        _trusted = trusted;
        if (configured is not null)
        {
            _snapshot = new Snapshot(ParseList(configured) ?? throw new FormatException($"'{configured}' is not ip:port of a DNS server"), trusted == true, 0);
            return;
        }
        _file = systemFile;
        _snapshot = Read();
    }

    public ImmutableArray<IPEndPoint> Current => Now.Servers;

    /// <summary>Whether the AD bit of their answers means something.</summary>
    public bool AreTrusted => Now.AreTrusted;

    /// <summary>Servers and trust as they belong together.</summary>
    internal Snapshot Now
    {
        get
        {
            if (_file is not null && _time.GetElapsedTime(_snapshot.ReadAt) > RereadAfter)
                _snapshot = Read();
            return _snapshot;
        }
    }

    /// <returns>Null: not one to three addresses.</returns>
    internal static ImmutableArray<IPEndPoint>? ParseList(string text)
    {
        IPEndPoint?[] servers = [.. text.Split(',', StringSplitOptions.TrimEntries).Select(Parse)];
        return servers.Length > MaxServers || Array.Exists(servers, s => s is null) ? null : [.. servers!];
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
        bool isTrusted = _trusted ?? (Array.Exists(lines, SaysTrustAd) && servers.All(s => IPAddress.IsLoopback(s.Address)));
        return new Snapshot(servers.IsEmpty ? [new IPEndPoint(IPAddress.Loopback, Port)] : servers, isTrusted, _time.GetTimestamp());
    }

    private static bool SaysTrustAd(string line)
    {
        string[] words = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        return words.Length >= 2 && words[0] == "options" && words.Contains("trust-ad");
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

    internal sealed record Snapshot(ImmutableArray<IPEndPoint> Servers, bool AreTrusted, long ReadAt);
}
