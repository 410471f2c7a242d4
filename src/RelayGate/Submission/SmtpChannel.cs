using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using RelayGate.Core.Mail;
using RelayGate.Core.Smtp;

namespace RelayGate.Submission;

/// <summary>What came instead of a command line, or that one came.</summary>
internal enum LineResult
{
    Line,

    /// <summary>It was skipped up to its end.</summary>
    TooLong,

    /// <summary>It never ended within <see cref="SubmissionLimits.SkippedLine"/>.</summary>
    NeverEnds,

    /// <summary>It was BDAT, so what follows are octets of a chunk of unknown length.</summary>
    LostChunk,

    /// <summary>A bare CR or LF: nobody can say where the client means its commands to end.</summary>
    BareLineEnd,

    /// <summary>The client is gone.</summary>
    Closed,

    TimedOut,

    /// <summary>The gateway is stopping.</summary>
    Stopping,
}

/// <summary>The wire of one session: command lines in, replies out, one deadline for whatever is waited for.</summary>
/// <remarks>
/// Replies are flushed only when no complete command is at hand, so that a pipelined group costs one packet (RFC 2920 §3.2).
/// Time is watched by <see cref="SessionTable"/>, which calls <see cref="CheckDeadline"/> once a second: no read has a timer of its own.
/// </remarks>
internal sealed class SmtpChannel(PipeReader input, PipeWriter output, TimeProvider time) : IDisposable
{
    private PipeReader _input = input;
    private PipeWriter _output = output;
    private byte[] _line = ArrayPool<byte>.Shared.Rent(SubmissionLimits.CommandLine);
    private int _lineLength;
    private int _skipped;
    private bool _skippedChunk;
    private int _unflushed;
    private long _deadline;
    private long _waitDeadline;
    private long _endOfGrace; // 0 until a stop is requested.
    private CancellationTokenSource? _patience;
    private volatile bool _timedOut;
    private volatile bool _stopping;
    private volatile bool _atBoundary;

    /// <summary>The line last read, without its CRLF, until the next one is read.</summary>
    public ReadOnlySpan<byte> Line => _line.AsSpan(0, _lineLength);

    public bool TimedOut => _timedOut;

    public TimeProvider Time => time;

    /// <summary>Reads one line into <see cref="Line"/>.</summary>
    /// <param name="limit">Wait for the whole line, however slowly it drips in.</param>
    /// <param name="isResponse">A SASL response, which may be long, and not a command.</param>
    public ValueTask<LineResult> ReadLineAsync(TimeSpan limit, bool isResponse = false)
    {
        if (_stopping && !isResponse)
            return new(LineResult.Stopping);
        if (_unflushed < SubmissionLimits.UnflushedReplies && _input.TryRead(out ReadResult read) && TryTakeLine(read, isResponse, out LineResult result))
            return new(result);
        return WaitForLineAsync(limit, isResponse);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<LineResult> WaitForLineAsync(TimeSpan limit, bool isResponse)
    {
        SetDeadline(limit);
        if (!await FlushAsync())
            return _timedOut ? LineResult.TimedOut : LineResult.Closed;
        while (true)
        {
            _atBoundary = !isResponse;
            if (_stopping && !isResponse)
                return LineResult.Stopping;
            ReadResult read = await _input.ReadAsync(CancellationToken.None);
            _atBoundary = false;
            if (TryTakeLine(read, isResponse, out LineResult result))
            {
                ClearDeadline();
                return result;
            }
            if (_timedOut)
                return LineResult.TimedOut;
            if (read.IsCompleted)
                return LineResult.Closed;
        }
    }

    /// <summary>Takes the mail data that is there; the caller advances.</summary>
    public bool TryReadData(out ReadResult read) => _input.TryRead(out read);

    /// <summary>Waits for mail data; the caller has flushed and set the deadline, and advances.</summary>
    public ValueTask<ReadResult> ReadDataAsync() => _input.ReadAsync(CancellationToken.None);

    public void AdvanceTo(SequencePosition consumed) => _input.AdvanceTo(consumed);

    /// <summary>Reads and drops octets of a refused chunk.</summary>
    /// <param name="idle">Longest wait for more of them.</param>
    /// <param name="limit">Longest time for all of them.</param>
    /// <returns>False when time is over or the client is gone.</returns>
    public async ValueTask<bool> DiscardAsync(long octets, TimeSpan idle, TimeSpan limit)
    {
        long started = time.GetTimestamp();
        while (octets > 0)
        {
            TimeSpan left = limit - time.GetElapsedTime(started);
            SetDeadline(left < idle ? left : idle);
            if (!await FlushAsync())
                return false;
            ReadResult read = await _input.ReadAsync(CancellationToken.None);
            long taken = Math.Min(octets, read.Buffer.Length);
            _input.AdvanceTo(read.Buffer.GetPosition(taken));
            octets -= taken;
            if (octets > 0 && (_timedOut || read.IsCompleted))
                return false;
        }
        ClearDeadline();
        return true;
    }

    public void Write(SmtpReply reply)
    {
        ReadOnlySpan<byte> octets = reply.ToWire().Span;
        _output.Write(octets);
        _unflushed += octets.Length;
    }

    /// <summary>Writes a prepared reply with the ref of its transaction, without making a string.</summary>
    /// <param name="ref">The 26 characters of the queue id.</param>
    public void Write(SmtpReply reply, ReadOnlySpan<byte> @ref)
    {
        ReadOnlySpan<byte> octets = reply.ToWire().Span[..^2];
        Span<byte> target = _output.GetSpan(octets.Length + 8 + @ref.Length);
        octets.CopyTo(target);
        "; ref "u8.CopyTo(target[octets.Length..]);
        @ref.CopyTo(target[(octets.Length + 6)..]);
        "\r\n"u8.CopyTo(target[(octets.Length + 6 + @ref.Length)..]);
        _output.Advance(octets.Length + 8 + @ref.Length);
        _unflushed += octets.Length + 8 + @ref.Length;
    }

    /// <summary>Sends the replies that wait.</summary>
    /// <returns>False when the client takes none: it is gone, or time is over.</returns>
    public ValueTask<bool> FlushAsync()
    {
        if (_unflushed == 0)
            return new(true);
        _unflushed = 0;
        ValueTask<FlushResult> flush = _output.FlushAsync(CancellationToken.None);
        if (!flush.IsCompletedSuccessfully)
            return WaitForFlushAsync(flush);
        FlushResult result = flush.Result;
        return new(!result.IsCompleted && !(result.IsCanceled && _timedOut));
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> WaitForFlushAsync(ValueTask<FlushResult> flush)
    {
        FlushResult result = await flush;
        return !result.IsCompleted && !(result.IsCanceled && _timedOut);
    }

    /// <summary>Sends a last reply and waits a little for it to be taken.</summary>
    public async ValueTask CloseAsync(SmtpReply reply)
    {
        Write(reply);
        await LastFlushAsync();
    }

    public async ValueTask LastFlushAsync()
    {
        _timedOut = false;
        SetDeadline(SubmissionLimits.LastFlush);
        await FlushAsync();
        ClearDeadline();
    }

    /// <summary>Goes on over other pipes (TLS). What the client sent before is gone (RFC 3207 §4.2).</summary>
    public void Replace(PipeReader input, PipeWriter output)
    {
        _input = input;
        _output = output;
        _lineLength = 0;
        _skipped = 0;
    }

    /// <summary>Drops what is buffered: octets sent before the reply to STARTTLS must not be taken for commands under TLS.</summary>
    public void DropBuffered()
    {
        while (_input.TryRead(out ReadResult read))
        {
            _input.AdvanceTo(read.Buffer.End);
            if (read.Buffer.IsEmpty)
                return;
        }
    }

    public void SetDeadline(TimeSpan limit)
    {
        long at = After(limit), end = Volatile.Read(ref _endOfGrace);
        Volatile.Write(ref _deadline, end != 0 && end < at ? end : at);
        if (end == 0 && Volatile.Read(ref _endOfGrace) is not 0 and var late && late < at)
            Volatile.Write(ref _deadline, late); // The stop came in between.
    }

    public void ClearDeadline() => Volatile.Write(ref _deadline, 0);

    /// <summary>Begins a wait for something of ours, for which the client is not to blame: its own deadline is off meanwhile.</summary>
    /// <returns>Cancelled when the time is over.</returns>
    public CancellationToken BeginWait(TimeSpan limit)
    {
        ClearDeadline();
        if (_patience is null or { IsCancellationRequested: true })
            _patience = new CancellationTokenSource();
        Volatile.Write(ref _waitDeadline, After(limit));
        return _patience.Token;
    }

    public void EndWait() => Volatile.Write(ref _waitDeadline, 0);

    /// <summary>Called once a second by another thread.</summary>
    public void CheckDeadline(long now)
    {
        long wait = Volatile.Read(ref _waitDeadline);
        if (wait != 0 && now >= wait && Interlocked.CompareExchange(ref _waitDeadline, 0, wait) == wait)
            _patience!.Cancel();
        long deadline = Volatile.Read(ref _deadline);
        if (deadline == 0 || now < deadline || Interlocked.CompareExchange(ref _deadline, 0, deadline) != deadline)
            return;
        _timedOut = true;
        _input.CancelPendingRead();
        _output.CancelPendingFlush();
    }

    /// <summary>Lets the session end with 421 at the next command boundary, at once when it is idle; mail data have a little time to come to their end.</summary>
    public void RequestStop()
    {
        long end = After(SubmissionLimits.StopGrace);
        Volatile.Write(ref _endOfGrace, end);
        long deadline = Volatile.Read(ref _deadline);
        if (deadline > end)
            Interlocked.CompareExchange(ref _deadline, end, deadline);
        _stopping = true;
        if (_atBoundary)
            _input.CancelPendingRead();
    }

    public void Dispose()
    {
        ClearDeadline();
        EndWait(); // The token source stays as it is: the timer's thread may be about to cancel it, and it holds nothing.
        byte[] line = Interlocked.Exchange(ref _line, []);
        if (line.Length > 0)
        {
            line.AsSpan().Clear(); // It may hold a password.
            ArrayPool<byte>.Shared.Return(line);
        }
    }

    private long After(TimeSpan limit) => time.GetTimestamp() + (long)(limit.TotalSeconds * time.TimestampFrequency);

    /// <summary>Takes one line if its end is there, and always advances.</summary>
    private bool TryTakeLine(in ReadResult read, bool isResponse, out LineResult result)
    {
        result = LineResult.Line;
        ReadOnlySequence<byte> buffer = read.Buffer;
        SequencePosition? lineFeed = buffer.PositionOf((byte)'\n');
        if (lineFeed is null)
        {
            if (_skipped == 0 && buffer.Length <= MaxOctets(buffer, isResponse))
            {
                _input.AdvanceTo(buffer.Start, buffer.End);
                return false;
            }
            if (_skipped == 0)
                _skippedChunk = IsVerb(buffer, "BDAT "u8);
            _skipped = (int)Math.Min(_skipped + buffer.Length, int.MaxValue);
            _input.AdvanceTo(buffer.End);
            result = LineResult.NeverEnds;
            return _skipped > SubmissionLimits.SkippedLine;
        }
        SequencePosition next = buffer.GetPosition(1, lineFeed.Value);
        ReadOnlySequence<byte> line = buffer.Slice(0, lineFeed.Value);
        if (_skipped > 0 || line.Length + 1 > MaxOctets(line, isResponse))
        {
            bool isChunk = !isResponse && (_skipped > 0 ? _skippedChunk : IsVerb(line, "BDAT "u8));
            _skipped = 0;
            _input.AdvanceTo(next);
            result = isChunk ? LineResult.LostChunk : LineResult.TooLong;
            return true;
        }
        if (_line.Length < line.Length)
        {
            ArrayPool<byte>.Shared.Return(_line, clearArray: true);
            _line = ArrayPool<byte>.Shared.Rent((int)line.Length);
        }
        line.CopyTo(_line);
        _lineLength = Math.Max(0, (int)line.Length - 1); // Without CR.
        _input.AdvanceTo(next);
        if (line.IsEmpty || _line[_lineLength] != '\r' || Line.Contains((byte)'\r'))
            result = LineResult.BareLineEnd;
        return true;
    }

    private static int MaxOctets(in ReadOnlySequence<byte> line, bool isResponse)
    {
        if (isResponse)
            return SubmissionLimits.AuthLine;
        if (line.Length <= SubmissionLimits.CommandLine)
            return SubmissionLimits.CommandLine;
        return IsVerb(line, "AUTH "u8) ? SubmissionLimits.AuthLine : SubmissionLimits.CommandLine;
    }

    /// <param name="line">Longer than any command.</param>
    private static bool IsVerb(in ReadOnlySequence<byte> line, ReadOnlySpan<byte> verb)
    {
        Span<byte> start = stackalloc byte[5];
        line.Slice(0, 5).CopyTo(start);
        return System.Text.Ascii.EqualsIgnoreCase(start, verb);
    }
}
