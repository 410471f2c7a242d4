using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using RelayGate.Core.Dns;

namespace RelayGate.Tests.Fakes;

/// <summary>How the fake answers over UDP.</summary>
public enum DnsBehaviour
{
    Usual,

    /// <summary>TC over UDP; all over TCP.</summary>
    Truncate,

    /// <summary>Answers with wrong ids and wrong questions come first.</summary>
    Forgeries,
    ServerFailure,
    Refuse,
    Silence,
    Garbage,

    /// <summary>FORMERR to queries with OPT, as servers from before EDNS.</summary>
    NoEdns,
}

/// <summary>A DNS server on loopback, UDP and TCP on one port, with a table of records.</summary>
public sealed class FakeDns : IAsyncDisposable
{
    private readonly ConcurrentDictionary<(string Name, DnsType Type), List<byte[]>> _records = new();
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _running;
    private int _withDo;

    public FakeDns()
    {
        while (true)
        {
            _udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            _udp.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            EndPoint = (IPEndPoint)_udp.LocalEndPoint!;
            _tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                _tcp.Bind(EndPoint);
                break;
            }
            catch (SocketException) // The port is taken for TCP: another one.
            {
                _udp.Dispose();
                _tcp.Dispose();
            }
        }
        _tcp.Listen();
        _running = [Task.Run(ServeUdpAsync), Task.Run(ServeTcpAsync)];
    }

    public IPEndPoint EndPoint { get; }

    public DnsBehaviour Behaviour { get; set; }

    /// <summary>Names that get SERVFAIL whatever the behaviour.</summary>
    public ConcurrentDictionary<string, bool> Broken { get; } = new();

    /// <summary>Questions about one type alone that get SERVFAIL.</summary>
    public ConcurrentDictionary<DnsQuestion, bool> BrokenQuestions { get; } = new();

    public uint Ttl { get; set; } = 300;

    /// <summary>Sets AD, as a resolver that validates; not for <see cref="Insecure"/> names.</summary>
    public bool Authentic { get; set; }

    /// <summary>Names in zones that are not signed: an answer that touches one is not authentic.</summary>
    public ConcurrentDictionary<string, bool> Insecure { get; } = new();

    /// <summary>Questions that came with DO.</summary>
    public int WithDo => _withDo;

    /// <summary>Whether negative answers carry an SOA, with a minimum of 30 s.</summary>
    public bool WithSoa { get; set; } = true;

    /// <summary>Every question, UDP and TCP.</summary>
    public ConcurrentQueue<(DnsQuestion Question, bool Tcp)> Questions { get; } = new();

    /// <summary>Completes answers; a test may hold them back.</summary>
    public Task Gate { get; set; } = Task.CompletedTask;

    public FakeDns A(string name, string address) => Add(name, DnsType.A, IPAddress.Parse(address).GetAddressBytes());

    public FakeDns Aaaa(string name, string address) => Add(name, DnsType.Aaaa, IPAddress.Parse(address).GetAddressBytes());

    public FakeDns Mx(string name, ushort preference, string exchange) => Add(name, DnsType.Mx, [(byte)(preference >> 8), (byte)preference, .. Name(exchange)]);

    public FakeDns Cname(string name, string target) => Add(name, DnsType.Cname, Name(target));

    public FakeDns Txt(string name, params string[] strings) =>
        Add(name, DnsType.Txt, [.. strings.SelectMany(s => (byte[])[(byte)Encoding.UTF8.GetByteCount(s), .. Encoding.UTF8.GetBytes(s)])]);

    public FakeDns Tlsa(string name, byte usage, byte selector, byte matching, byte[] data) => Add(name, DnsType.Tlsa, [usage, selector, matching, .. data]);

    /// <summary>Removes the records of a name and type.</summary>
    public void Remove(string name, DnsType type) => _records.TryRemove((name, type), out _);

    public void Clear() => _records.Clear();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _udp.Dispose();
        _tcp.Dispose();
        await Task.WhenAll(_running);
        _stop.Dispose();
    }

    private FakeDns Add(string name, DnsType type, byte[] data)
    {
        _records.GetOrAdd((name, type), _ => []).Add(data);
        return this;
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[4096];
        try
        {
            while (true)
            {
                SocketReceiveFromResult received = await _udp.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
                byte[] query = buffer[..received.ReceivedBytes];
                await Gate.WaitAsync(_stop.Token);
                foreach (byte[] response in Respond(query, tcp: false))
                    await _udp.SendToAsync(response, SocketFlags.None, received.RemoteEndPoint, _stop.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeTcpAsync()
    {
        try
        {
            while (true)
            {
                using Socket client = await _tcp.AcceptAsync(_stop.Token);
                await using var stream = new NetworkStream(client);
                var length = new byte[2];
                await stream.ReadExactlyAsync(length, _stop.Token);
                var query = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
                await stream.ReadExactlyAsync(query, _stop.Token);
                foreach (byte[] response in Respond(query, tcp: true))
                {
                    BinaryPrimitives.WriteUInt16BigEndian(length, (ushort)response.Length);
                    await stream.WriteAsync((byte[])[.. length, .. response], _stop.Token);
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException or IOException)
        {
            // The test is over.
        }
    }

    private IEnumerable<byte[]> Respond(byte[] query, bool tcp)
    {
        (DnsQuestion question, int end) = ReadQuestion(query);
        Questions.Enqueue((question, tcp));
        if (query[11] > 0 && (query[end + 7] & 0x80) != 0)
            Interlocked.Increment(ref _withDo);
        DnsBehaviour behaviour = Broken.ContainsKey(question.Name) || BrokenQuestions.ContainsKey(question) ? DnsBehaviour.ServerFailure : Behaviour;
        switch (behaviour)
        {
            case DnsBehaviour.Silence:
                return [];
            case DnsBehaviour.Garbage:
                return [[1, 2, 3], [.. query.Take(2), 0x80, 0, 0, 1, 255, 255, 0, 0, 0, 0, 0xc0, 12]];
            case DnsBehaviour.ServerFailure:
                return [Build(query, end, 2, false, [], [])];
            case DnsBehaviour.Refuse:
                return [Build(query, end, 5, false, [], [])];
            case DnsBehaviour.NoEdns when query[11] > 0:
                return [Build(query, end, 1, false, [], [])];
            case DnsBehaviour.Truncate when !tcp:
                return [Build(query, end, 0, true, [], [])];
            case DnsBehaviour.Forgeries when !tcp:
                byte[] wrongId = Answer(query, question, end);
                wrongId[0] ^= 0x55;
                byte[] wrongName = Answer(query, question, end);
                wrongName[13] ^= 1;
                byte[] aQuery = [.. query];
                return [wrongId, wrongName, aQuery, Answer(query, question, end)];
            default:
                return [Answer(query, question, end)];
        }
    }

    private byte[] Answer(byte[] query, DnsQuestion question, int end)
    {
        var answers = new List<byte[]>();
        string name = question.Name;
        bool known = true;
        bool isAuthentic = Authentic;
        for (int i = 0; i < 20; i++)
        {
            isAuthentic &= !Insecure.ContainsKey(name);
            if (_records.TryGetValue((name, question.Type), out List<byte[]>? found))
            {
                answers.AddRange(found.Select(data => Record(name, question.Type, data)));
                return Build(query, end, 0, false, answers, [], isAuthentic);
            }
            if (!_records.TryGetValue((name, DnsType.Cname), out List<byte[]>? alias))
            {
                known = _records.Keys.Any(k => k.Name == name);
                break;
            }
            answers.Add(Record(name, DnsType.Cname, alias[0]));
            int position = 0;
            Assert.True(DnsNameCodec.TryRead(alias[0], ref position, out name));
        }
        byte[] soa = Record("test", DnsType.Soa, [0, 0, .. new byte[16], 0, 0, 0, 30]);
        return Build(query, end, known ? 0 : 3, false, answers, WithSoa ? [soa] : [], isAuthentic);
    }

    private static byte[] Build(byte[] query, int end, int code, bool truncated, List<byte[]> answers, List<byte[]> authority, bool isAuthentic = false)
    {
        byte[] header =
        [
            query[0], query[1], (byte)(0x81 | (truncated ? 2 : 0)), (byte)(0x80 | code | (isAuthentic ? 0x20 : 0)),
            0, 1, (byte)(answers.Count >> 8), (byte)answers.Count, 0, (byte)authority.Count, 0, 0,
        ];
        return [.. header, .. query[12..end], .. answers.SelectMany(a => a), .. authority.SelectMany(a => a)];
    }

    private byte[] Record(string name, DnsType type, byte[] data)
    {
        var fixedPart = new byte[10];
        BinaryPrimitives.WriteUInt16BigEndian(fixedPart, (ushort)type);
        BinaryPrimitives.WriteUInt16BigEndian(fixedPart.AsSpan(2), 1);
        BinaryPrimitives.WriteUInt32BigEndian(fixedPart.AsSpan(4), Ttl);
        BinaryPrimitives.WriteUInt16BigEndian(fixedPart.AsSpan(8), (ushort)data.Length);
        return [.. Name(name), .. fixedPart, .. data];
    }

    private static (DnsQuestion Question, int End) ReadQuestion(byte[] query)
    {
        int position = 12;
        Assert.True(DnsNameCodec.TryRead(query, ref position, out string name));
        return (new DnsQuestion(name, (DnsType)BinaryPrimitives.ReadUInt16BigEndian(query.AsSpan(position))), position + 4);
    }

    private static byte[] Name(string name)
    {
        var target = new byte[256];
        Assert.True(DnsNameCodec.TryWrite(name == "." ? "" : name, target, out int written));
        return target[..written];
    }
}
