using System.Buffers;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using RelayGate.Core.Smtp;

namespace RelayGate.Delivery;

/// <summary>Octets to and from a next hop: gathered writes, strictly parsed replies, plain or over TLS. Not for use by two threads at once, but <see cref="Abort"/> is.</summary>
internal sealed class SmtpTransport : IDisposable
{
    private const int OutputOctets = 16 * 1024;
    private const int InputOctets = 4 * 1024;
    private const int CopyLimit = 8 * 1024; // Larger pieces are sent from where they are.
    private const int MaxSegments = 64;

    private readonly Lock _lock = new();
    private readonly List<ArraySegment<byte>> _segments = [];
    private Socket? _socket; // Null until it is opened.
    private bool _ended;
    private byte[] _output = ArrayPool<byte>.Shared.Rent(OutputOctets);
    private int _outputStart; // Start of the copied octets that are in no segment yet.
    private int _outputLength;
    private long _segmentOctets;
    private byte[] _input = ArrayPool<byte>.Shared.Rent(InputOctets);
    private int _replyStart;
    private int _replyLength;
    private int _inputLength;
    private SslStream? _tls;

    public SslStream? Tls => _tls;

    /// <summary>Octets gathered and not sent yet.</summary>
    public long Pending => _segmentOctets + _outputLength - _outputStart;

    private Socket Connected => _socket ?? throw new InvalidOperationException("The socket was not opened");

    /// <summary>Makes the socket, which is still to be bound and connected.</summary>
    /// <exception cref="SocketException">None is to be had.</exception>
    /// <exception cref="ObjectDisposedException">Aborted before.</exception>
    public Socket Open(AddressFamily family)
    {
        bool isTcp = family != AddressFamily.Unix;
        var socket = new Socket(family, SocketType.Stream, isTcp ? ProtocolType.Tcp : ProtocolType.Unspecified);
        if (isTcp)
            socket.NoDelay = true;
        lock (_lock)
        {
            if (!_ended)
                return _socket = socket;
        }
        socket.Dispose();
        throw new ObjectDisposedException(nameof(SmtpTransport));
    }

    /// <summary>Ends all that is under way; the operation in progress fails. Safe from any thread.</summary>
    public void Abort()
    {
        lock (_lock)
        {
            _ended = true;
            _socket?.Dispose();
        }
    }

    public void Dispose()
    {
        _tls?.Dispose();
        Abort();
        if (_output.Length == 0)
            return;
        ArrayPool<byte>.Shared.Return(_output);
        ArrayPool<byte>.Shared.Return(_input);
        _output = _input = [];
    }

    /// <summary>Gathers a short text; callers flush before <see cref="OutputOctets"/> octets have come together.</summary>
    public void Append(ReadOnlySpan<byte> octets)
    {
        if (octets.Length > _output.Length - _outputLength)
            GrowOutput(octets.Length);
        octets.CopyTo(_output.AsSpan(_outputLength));
        _outputLength += octets.Length;
    }

    public void Append(string text)
    {
        int most = System.Text.Encoding.UTF8.GetMaxByteCount(text.Length);
        if (most > _output.Length - _outputLength)
            GrowOutput(most);
        _outputLength += System.Text.Encoding.UTF8.GetBytes(text, _output.AsSpan(_outputLength));
    }

    public void Append(long number)
    {
        Span<byte> digits = stackalloc byte[20];
        number.TryFormat(digits, out int written);
        Append(digits[..written]);
    }

    /// <summary>Gathers a piece of mail data: copied if small, else kept by reference until the flush. False: flush, then call again.</summary>
    public bool TryAppend(ReadOnlyMemory<byte> piece)
    {
        if (piece.Length <= _output.Length - _outputLength && piece.Length <= CopyLimit)
        {
            piece.Span.CopyTo(_output.AsSpan(_outputLength));
            _outputLength += piece.Length;
            return true;
        }
        if (piece.Length <= CopyLimit / 4 || _segments.Count >= MaxSegments)
            return false; // No room left; a flush makes some.
        CloseRun();
        if (!MemoryMarshal.TryGetArray(piece, out ArraySegment<byte> segment))
            segment = piece.ToArray();
        _segments.Add(segment);
        _segmentOctets += segment.Count;
        return true;
    }

    /// <summary>Sends all that was gathered.</summary>
    public async ValueTask FlushAsync()
    {
        if (_tls is not null)
        {
            CloseRun();
            foreach (ArraySegment<byte> segment in _segments)
                await _tls.WriteAsync(segment);
        }
        else if (_segments.Count == 0)
        {
            for (int sent = 0; sent < _outputLength;)
                sent += await Connected.SendAsync(_output.AsMemory(sent, _outputLength - sent), SocketFlags.None);
        }
        else
        {
            CloseRun();
            while (_segments.Count > 0)
                DropSent(await Connected.SendAsync(_segments, SocketFlags.None));
        }
        _segments.Clear();
        _segmentOctets = 0;
        _outputLength = _outputStart = 0;
    }

    /// <summary>Reads one reply and returns its code; <see cref="Reply"/> gives its octets until the next read.</summary>
    /// <exception cref="NextHopException">Not well-formed, or the connection was closed.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReadReplyAsync()
    {
        _replyStart += _replyLength;
        _replyLength = 0;
        var scanner = new ReplyScanner();
        while (true)
        {
            switch (scanner.Scan(_input.AsSpan(_replyStart, _inputLength - _replyStart)))
            {
                case ReplyScan.Complete:
                    _replyLength = scanner.Length;
                    return scanner.Code;
                case ReplyScan.Malformed:
                    throw new NextHopException(NextHopException.NotSmtp, "The reply is not well-formed");
            }
            MakeRoom();
            Memory<byte> room = _input.AsMemory(_inputLength);
            int read = _tls is null ? await Connected.ReceiveAsync(room, SocketFlags.None) : await _tls.ReadAsync(room);
            if (read == 0)
                throw new NextHopException("4.4.2", "The next hop closed the connection");
            _inputLength += read;
        }
    }

    /// <summary>The octets of the reply read last.</summary>
    public ReadOnlySpan<byte> Reply => _input.AsSpan(_replyStart, _replyLength);

    /// <summary>Whether the next hop spoke before it was its turn. Over TLS only what was decrypted already is seen, and of a connection that has ended only what was read.</summary>
    public bool HasStrayInput
    {
        get
        {
            try
            {
                return HasBufferedInput || (_tls is null && Connected.Available > 0);
            }
            catch (Exception e) when (e is ObjectDisposedException or SocketException)
            {
                return false; // Ended meanwhile, which takes back no reply.
            }
        }
    }

    /// <summary>Whether more was read than the last reply.</summary>
    public bool HasBufferedInput => _inputLength > _replyStart + _replyLength;

    /// <summary>Whether a 421 was read beyond the last reply: the next hop ends the session (RFC 5321 §3.8).</summary>
    public bool HasBufferedGoodbye
    {
        get
        {
            var scanner = new ReplyScanner();
            return HasBufferedInput && scanner.Scan(_input.AsSpan(_replyStart + _replyLength, _inputLength - _replyStart - _replyLength)) == ReplyScan.Complete && scanner.Code == 421;
        }
    }

    /// <summary>Whether a kept connection was closed or written to by the next hop meanwhile.</summary>
    /// <remarks>Over TLS too: session tickets come before the reply to the second EHLO, so what comes while nothing is due is an alert or an end.</remarks>
    public bool IsStale
    {
        get
        {
            try
            {
                return HasBufferedInput || Connected.Poll(0, SelectMode.SelectRead);
            }
            catch (Exception e) when (e is ObjectDisposedException or SocketException)
            {
                return true; // Ended meanwhile, by its time limit or at shutdown.
            }
        }
    }

    /// <summary>Switches to TLS; what the next hop sent after its 220 is dropped (it came unprotected, RFC 3207 §6).</summary>
    public async Task StartTlsAsync(SslClientAuthenticationOptions options)
    {
        _replyStart = _replyLength = _inputLength = 0;
        var tls = new SslStream(new NetworkStream(Connected, ownsSocket: false), leaveInnerStreamOpen: false);
        _tls = tls;
        await tls.AuthenticateAsClientAsync(options);
    }

    private void CloseRun()
    {
        if (_outputLength == _outputStart)
            return;
        _segments.Add(new ArraySegment<byte>(_output, _outputStart, _outputLength - _outputStart));
        _segmentOctets += _outputLength - _outputStart;
        _outputStart = _outputLength;
    }

    private void DropSent(int sent)
    {
        int whole = 0;
        while (whole < _segments.Count && sent >= _segments[whole].Count)
            sent -= _segments[whole++].Count;
        _segments.RemoveRange(0, whole);
        if (sent > 0)
            _segments[0] = _segments[0][sent..];
    }

    private void GrowOutput(int more)
    {
        if (_segments.Count > 0)
            throw new InvalidOperationException("Flush before more is gathered than fits");
        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_output.Length * 2, _outputLength + more));
        _output.AsSpan(0, _outputLength).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_output);
        _output = larger;
    }

    private void MakeRoom()
    {
        if (_replyStart > 0)
        {
            _input.AsSpan(_replyStart, _inputLength - _replyStart).CopyTo(_input);
            _inputLength -= _replyStart;
            _replyStart = 0;
        }
        if (_inputLength < _input.Length)
            return;
        byte[] larger = ArrayPool<byte>.Shared.Rent(_input.Length * 2); // The scanner ends it at ReplyScanner.MaxOctets.
        _input.AsSpan(0, _inputLength).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_input);
        _input = larger;
    }
}
