using System.Buffers;
using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;

namespace RelayGate.Benchmarks;

/// <summary>A next hop that acknowledges everything at once and counts the messages; with CHUNKING where that is asked for.</summary>
internal sealed class CountingSink : IAsyncDisposable
{
    private readonly LoopbackListener _listener;
    private int _messages;

    public CountingSink(bool withChunking)
    {
        WithChunking = withChunking;
        _listener = new LoopbackListener(ServeAsync);
    }

    public IPEndPoint EndPoint => _listener.EndPoint;

    /// <summary>Whether sessions that begin now are offered CHUNKING (RFC 3030).</summary>
    public bool WithChunking { get; set; }

    public int Messages => Volatile.Read(ref _messages);

    public ValueTask DisposeAsync() => _listener.DisposeAsync();

    private async Task ServeAsync(Socket socket, CancellationToken stop)
    {
        using Socket client = socket;
        var session = new Session(this);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
        int length = 0;
        try
        {
            while (true)
            {
                if (session.Reply.WrittenCount > 0)
                    await client.SendAsync(session.Reply.WrittenMemory, stop);
                session.Reply.ResetWrittenCount();
                int read = await client.ReceiveAsync(buffer.AsMemory(length), stop);
                if (read == 0)
                    return;
                length += read;
                int used = session.Take(buffer.AsSpan(0, length));
                buffer.AsSpan(used, length - used).CopyTo(buffer);
                length -= used;
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // The client went away, or the measurement is over.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private sealed class Session
    {
        private readonly CountingSink _sink;
        private readonly bool _withChunking;
        private bool _inData;
        private bool _isLast;
        private long _chunk; // Octets of a BDAT that are still to come.

        public Session(CountingSink sink)
        {
            _sink = sink;
            _withChunking = sink.WithChunking;
            Reply.Write("220 sink\r\n"u8);
        }

        public ArrayBufferWriter<byte> Reply { get; } = new();

        /// <returns>How many octets were used.</returns>
        public int Take(ReadOnlySpan<byte> octets)
        {
            int position = 0;
            while (position < octets.Length)
            {
                ReadOnlySpan<byte> rest = octets[position..];
                if (_chunk > 0)
                {
                    int piece = (int)Math.Min(_chunk, rest.Length);
                    _chunk -= piece;
                    position += piece;
                    if (_chunk == 0)
                        EndChunk();
                    continue;
                }
                int end = rest.IndexOf(_inData ? "\r\n.\r\n"u8 : "\r\n"u8);
                if (end < 0)
                    break;
                position += end + (_inData ? 5 : 2);
                if (_inData)
                {
                    _inData = false;
                    EndMessage();
                }
                else
                {
                    Command(rest[..end]);
                }
            }
            return position;
        }

        private void Command(ReadOnlySpan<byte> line)
        {
            if (line.StartsWith("EHLO"u8))
            {
                Reply.Write("250-sink\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n"u8);
                Reply.Write(_withChunking ? "250-CHUNKING\r\n250 8BITMIME\r\n"u8 : "250 8BITMIME\r\n"u8);
            }
            else if (line.StartsWith("BDAT "u8))
            {
                _isLast = line.EndsWith("LAST"u8);
                _chunk = Utf8Parser.TryParse(line[5..], out long octets, out _) ? octets : 0;
                if (_chunk == 0)
                    EndChunk();
            }
            else
            {
                _inData = line.StartsWith("DATA"u8);
                Reply.Write(_inData ? "354 go\r\n"u8 : line.StartsWith("QUIT"u8) ? "221 2.0.0 Bye\r\n"u8 : "250 2.1.0 Ok\r\n"u8);
            }
        }

        private void EndChunk()
        {
            if (_isLast)
                EndMessage();
            else
                Reply.Write("250 2.0.0 Ok\r\n"u8);
        }

        private void EndMessage()
        {
            Interlocked.Increment(ref _sink._messages);
            Reply.Write("250 2.0.0 Ok: taken\r\n"u8);
        }
    }
}
