using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using RelayGate.Core.Policy;
using RelayGate.Submission;

namespace RelayGate.Benchmarks;

/// <summary>What it costs to ask the kernel who has connected: once for each connection of the unix socket.</summary>
[MemoryDiagnoser]
public class ProcessBenchmark : IDisposable // Not sealed: the benchmark's host derives from it.
{
    private readonly ProcessReader _reader = new();
    private string _folder = "";
    private Socket _listener = null!;
    private Socket _client = null!;
    private Socket _accepted = null!;

    [GlobalSetup]
    public void Connect()
    {
        _folder = Directory.CreateTempSubdirectory("relaygate-peer").FullName;
        var endpoint = new UnixDomainSocketEndPoint(Path.Combine(_folder, "s"));
        _listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _listener.Bind(endpoint);
        _listener.Listen();
        _client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _client.Connect(endpoint);
        _accepted = _listener.Accept();
    }

    [Benchmark]
    public PeerProcess? Peer() => _reader.PeerOf(_accepted);

    [GlobalCleanup]
    public void Dispose()
    {
        _accepted.Dispose();
        _client.Dispose();
        _listener.Dispose();
        Directory.Delete(_folder, recursive: true);
        GC.SuppressFinalize(this);
    }
}
