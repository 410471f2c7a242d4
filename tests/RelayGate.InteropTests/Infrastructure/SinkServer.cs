using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A message that reached the next hop.</summary>
/// <param name="Client">Address the connection came from: the egress address.</param>
/// <param name="Helo">Name given with EHLO or HELO.</param>
/// <param name="Mail">What followed <c>MAIL FROM:</c>, parameters included.</param>
/// <param name="Recipients">What followed each accepted <c>RCPT TO:</c>, parameters included.</param>
/// <param name="Data">Header section and body as received, dots unstuffed.</param>
/// <param name="Tls">Whether STARTTLS was used.</param>
public sealed record SinkMessage(IPAddress Client, string Helo, string Mail, IReadOnlyList<string> Recipients, byte[] Data, bool Tls)
{
    /// <summary>The message with one character for each octet.</summary>
    public string Text => Encoding.Latin1.GetString(Data);

    public string Header => Text[..(Text.IndexOf("\r\n\r\n", StringComparison.Ordinal) is var end && end < 0 ? Text.Length : end + 2)];

    public string Body => Text.IndexOf("\r\n\r\n", StringComparison.Ordinal) is var end && end < 0 ? "" : Text[(end + 4)..];

    /// <summary>First field of this name, unfolded, without the name; null when absent.</summary>
    public string? Field(string name) => Header.Replace("\r\n ", " ", StringComparison.Ordinal).Replace("\r\n\t", " ", StringComparison.Ordinal)
        .Split("\r\n").FirstOrDefault(l => l.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))?[(name.Length + 1)..].Trim();

    /// <summary>The reverse-path without parameters.</summary>
    public string ReversePath => Mail.Split(' ')[0];
}

/// <summary>The SMTP server behind the gateway: takes everything, keeps it, and refuses what it is told to refuse.</summary>
public sealed class SinkServer : IAsyncDisposable
{
    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<SinkMessage> _messages = new();
    private readonly ConcurrentDictionary<Task, bool> _sessions = new();
    private readonly Task _accepting;

    private SinkServer(Socket listener)
    {
        _listener = listener;
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    public IPEndPoint EndPoint { get; }

    /// <summary>The value for Delivery:NextHop.</summary>
    public string Url => $"smtp://{EndPoint}";

    public IReadOnlyCollection<SinkMessage> Messages => _messages;

    /// <summary>Keywords of the EHLO reply.</summary>
    public IReadOnlyList<string> Extensions { get; set; } = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];

    /// <summary>Given: STARTTLS is offered.</summary>
    public X509Certificate2? Certificate { get; set; }

    /// <summary>Reply to a command line or, for "." to the end of data; null: the usual one.</summary>
    public Func<string, string?> Reply { get; set; } = _ => null;

    public static SinkServer Start() => Start(new IPEndPoint(IPAddress.Loopback, 0));

    public static SinkServer Start(IPEndPoint local, NetworkNamespace? inside = null)
    {
        if (inside is not null)
            return new SinkServer(inside.Listen(local));
        var socket = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(local);
        socket.Listen(512);
        return new SinkServer(socket);
    }

    /// <summary>Waits for <paramref name="count"/> messages that match, and returns all that do.</summary>
    public async Task<IReadOnlyList<SinkMessage>> ReceiveAsync(Func<SinkMessage, bool> match, int count = 1, TimeSpan? bound = null)
    {
        await Eventually.TrueAsync(() => _messages.Count(match) >= count, $"{count} message(s) at the next hop, of {_messages.Count}", bound);
        return [.. _messages.Where(match)];
    }

    /// <summary>Waits for the message whose header section or body holds <paramref name="text"/>.</summary>
    public async Task<SinkMessage> ReceiveAsync(string text, TimeSpan? bound = null)
    {
        try
        {
            return (await ReceiveAsync(m => m.Text.Contains(text, StringComparison.Ordinal), 1, bound))[0];
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"No message with «{text}». {e.Message}", e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_sessions.Keys);
        _stop.Dispose();
    }

    internal void Keep(SinkMessage message) => _messages.Enqueue(message);

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket client = await _listener.AcceptAsync(_stop.Token);
                Task session = ServeAsync(client);
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
        await Task.Yield();
        using var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            await new SinkSession(this, socket, stream).RunAsync(_stop.Token);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or System.Security.Authentication.AuthenticationException)
        {
            // The peer went away, was killed, or the test is over.
        }
    }
}
