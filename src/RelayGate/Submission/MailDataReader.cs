using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace RelayGate.Submission;

internal enum DataResult
{
    /// <summary>The end was read: CRLF.CRLF, or all octets of a chunk.</summary>
    Complete,

    Closed,
    TimedOut,

    /// <summary>Far more than any message may have; the session ends.</summary>
    NeverEnds,
}

/// <summary>Reads mail data: of DATA up to CRLF.CRLF and nothing else, dots unstuffed (RFC 5321 §4.5.2), or the counted octets of BDAT (RFC 3030).</summary>
/// <param name="normalise">Bare CR and LF become CRLF; otherwise they fail the message, which is still read to its end.</param>
/// <remarks>
/// A normalised line end is none for the dot rules: after it a dot is neither removed nor the end. CRs before CRLF belong to it: what some
/// programs make of CRLF when they convert it once more.
/// </remarks>
internal sealed class MailDataReader(SmtpChannel channel, MailContent content, bool normalise, TimeSpan idle, long maxOctets)
{
    private const int Block = 64 * 1024;
    private const int MostCrs = 64; // In a row, before it is no text any more.
    private const int MostPending = 2 * MostCrs; // The line ends of CRs that ended the block before.

    private static readonly SearchValues<byte> Special = SearchValues.Create("\r\n\0"u8);

    private readonly long _giveUpAfter = 2 * maxOctets + 1024 * 1024;
    private readonly long _until = channel.Time.GetTimestamp() + (long)(SubmissionLimits.MailData.TotalSeconds * channel.Time.TimestampFrequency);
    private State _state = State.LineStart;
    private int _crs; // In state Cr: how many.
    private long _read;

    private enum State
    {
        /// <summary>Inside a line.</summary>
        Text,

        /// <summary>After CR.</summary>
        Cr,

        /// <summary>After CRLF, or at the start.</summary>
        LineStart,

        /// <summary>After a dot at the start of a line.</summary>
        Dot,

        /// <summary>After that dot and CR.</summary>
        DotCr,
    }

    /// <summary>Reads to CRLF.CRLF.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<DataResult> ReadDataAsync()
    {
        while (true)
        {
            if (!channel.TryReadData(out ReadResult read))
            {
                SetDeadline();
                if (!await channel.FlushAsync())
                    return channel.TimedOut ? DataResult.TimedOut : DataResult.Closed;
                read = await channel.ReadDataAsync();
            }
            bool ended = await ScanAsync(read.Buffer, dotted: true);
            if (ended)
            {
                channel.ClearDeadline();
                content.Finish();
                return DataResult.Complete;
            }
            if (StopReason(read) is { } reason)
                return reason;
        }
    }

    /// <summary>Reads the octets of one chunk.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<DataResult> ReadChunkAsync(long octets, bool isLast)
    {
        while (octets > 0)
        {
            if (!channel.TryReadData(out ReadResult read))
            {
                SetDeadline();
                if (!await channel.FlushAsync())
                    return channel.TimedOut ? DataResult.TimedOut : DataResult.Closed;
                read = await channel.ReadDataAsync();
            }
            ReadOnlySequence<byte> chunk = read.Buffer.Length > octets ? read.Buffer.Slice(0, octets) : read.Buffer;
            octets -= chunk.Length;
            await ScanAsync(chunk, dotted: false);
            if (octets > 0 && StopReason(read) is { } reason)
                return reason;
        }
        channel.ClearDeadline();
        if (isLast)
        {
            if (_state == State.Cr)
                BareCrs();
            content.Finish();
        }
        return DataResult.Complete;
    }

    private DataResult? StopReason(in ReadResult read) =>
        channel.TimedOut ? DataResult.TimedOut
        : _read > _giveUpAfter ? DataResult.NeverEnds
        : read.IsCompleted ? DataResult.Closed
        : null;

    private void SetDeadline()
    {
        long left = _until - channel.Time.GetTimestamp();
        var total = TimeSpan.FromSeconds(Math.Max(0, left) / (double)channel.Time.TimestampFrequency);
        channel.SetDeadline(total < idle ? total : idle);
    }

    /// <summary>Scans a buffer and advances the channel past what was used. True when the final dot was read.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> ScanAsync(ReadOnlySequence<byte> buffer, bool dotted)
    {
        long used = 0;
        bool ended = false;
        foreach (ReadOnlyMemory<byte> segment in buffer)
        {
            int start = 0;
            while (start < segment.Length && !ended)
            {
                int octets = Math.Min(Block, segment.Length - start);
                octets = (await content.MakeRoomAsync(MostWritten(octets), channel) - MostPending) / 2;
                ended = Scan(segment.Span.Slice(start, octets), dotted, out int consumed);
                start += consumed;
                used += consumed;
            }
            if (ended)
                break;
        }
        _read += used;
        channel.AdvanceTo(buffer.GetPosition(used));
        return ended;
    }

    /// <summary>Octets that a block becomes at most: each may be a bare line end that is made two.</summary>
    private static int MostWritten(int octets) => 2 * octets + MostPending;

    private bool Scan(ReadOnlySpan<byte> block, bool dotted, out int consumed)
    {
        int run = 0; // Octets before this one are in the content.
        int i = 0;
        while (i < block.Length)
        {
            byte c = block[i];
            switch (_state)
            {
                case State.LineStart when dotted && c == '.':
                    Take(block[run..i]);
                    run = ++i; // The dot itself is dropped, or ends the data.
                    _state = State.Dot;
                    break;

                case State.LineStart:
                    _state = State.Text;
                    break;

                case State.Dot:
                    _state = c == '\r' ? State.DotCr : State.Text;
                    if (c == '\r')
                        run = ++i;
                    break;

                case State.DotCr when c == '\n':
                    consumed = i + 1;
                    return true;

                case State.DotCr:
                    _crs = 1;
                    _state = State.Cr;
                    break;

                case State.Cr when c == '\n':
                    EndLine();
                    run = ++i;
                    _state = State.LineStart;
                    break;

                case State.Cr when c == '\r' && normalise && _crs < MostCrs:
                    _crs++;
                    run = ++i;
                    break;

                case State.Cr:
                    BareCrs();
                    _state = State.Text;
                    break;

                default:
                    ScanLine(block, ref i, ref run);
                    break;
            }
        }
        Take(block[run..]);
        consumed = block.Length;
        return false;
    }

    /// <summary>Goes on to the end of the line, or of the block. Lines that end with CRLF stay in the run, to be copied together.</summary>
    private void ScanLine(ReadOnlySpan<byte> block, ref int i, ref int run)
    {
        int length = block[i..].IndexOfAny(Special);
        if (length < 0)
        {
            content.LineContinues(block.Length - i);
            i = block.Length;
            return;
        }
        int end = i + length;
        if (block[end] == '\r' && end + 1 < block.Length && block[end + 1] == '\n')
        {
            i = end + 2;
            _state = State.LineStart;
            if (content.LineEnded(length))
            {
                Take(block[run..i]);
                content.EndHeader();
                run = i;
            }
            return;
        }
        content.LineContinues(length);
        Take(block[run..end]);
        i = run = end + 1;
        switch (block[end])
        {
            case (byte)'\r':
                _state = State.Cr;
                _crs = 1;
                break;
            case (byte)'\n':
                BareLineEnd();
                break;
            default:
                content.Fail(ContentFault.NulOctet);
                break;
        }
    }

    private void Take(ReadOnlySpan<byte> octets) => content.Append(octets);

    /// <summary>CRs that no LF follows: each is a line end.</summary>
    private void BareCrs()
    {
        if (_crs == MostCrs)
            content.Fail(ContentFault.BareLineEnd);
        for (int n = 0; n < _crs; n++)
            BareLineEnd();
    }

    private void BareLineEnd()
    {
        if (normalise)
            EndLine();
        else
            content.Fail(ContentFault.BareLineEnd);
    }

    private void EndLine()
    {
        content.Append("\r\n"u8);
        if (content.LineEnded(0))
            content.EndHeader();
    }
}
