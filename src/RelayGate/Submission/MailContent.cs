using System.Buffers;
using System.Text;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Queue;

namespace RelayGate.Submission;

/// <summary>Why content is read to its end but no longer kept.</summary>
internal enum ContentFault
{
    None,
    BareLineEnd,
    NulOctet,
    TooLarge,
    HeaderTooLarge,
    NoMemory,
    StoreFull,
    StoreFailed,
    StoreBusy,
}

/// <summary>The content of one message while it is received: header section and body in one pooled array; a large body goes to the store in chunks.</summary>
/// <remarks>
/// Array: <c>[header section with its empty line][body octets not yet in the store]</c>. Not safe for two threads; the session has it alone.
/// </remarks>
internal sealed class MailContent : IDisposable
{
    /// <summary>First buffer: most messages need no other. Half of the budget is kept for these.</summary>
    private const int FirstOctets = 16 * 1024;

    /// <summary>Fewer octets of a body are not worth a row.</summary>
    private const int SmallestEarlyChunk = 4 * 1024;

    /// <summary>Free room with which reading goes on when there is no memory to grow.</summary>
    private const int LeastRoom = 2 * 1024;

    private readonly QueueId _id;
    private readonly QueueWriter _writer;
    private readonly MemoryBudget _budget;
    private readonly long _maxOctets;
    private byte[]? _array;
    private int _taken; // Octets of the shared budget, and of the array, that may be used.
    private int _length;
    private int _headerLength = -1;
    private int _chunks;
    private long _bodyInStore;
    private RelaxedBodyHash? _hash;
    private int _lineOctets;
    private int _longestLine;
    private bool _is8Bit;
    private bool _handedOver;
    private byte[]? _bodyHash;

    /// <param name="declaredOctets">SIZE= of MAIL, so that the array need not grow; not trusted beyond a chunk.</param>
    /// <param name="maxOctets">Largest message.</param>
    public MailContent(QueueId id, QueueWriter writer, MemoryBudget budget, long? declaredOctets, long maxOctets)
    {
        _id = id;
        _writer = writer;
        _budget = budget;
        _maxOctets = maxOctets;
        // Half as much again for header fields and line ends the client did not count.
        int wanted = (int)Math.Clamp((declaredOctets ?? 0) + ((declaredOctets ?? 0) >> 1), FirstOctets, MessageBody.ChunkOctets);
        if (wanted > FirstOctets && budget.TryTake(wanted))
            _taken = wanted;
        else if (budget.TryTakeFirst(FirstOctets))
            _taken = FirstOctets;
        else
            Fault = ContentFault.NoMemory;
        _array = _taken > 0 ? ArrayPool<byte>.Shared.Rent(_taken) : null;
    }

    /// <summary>The first thing that was wrong; content is not kept from then on.</summary>
    public ContentFault Fault { get; private set; }

    /// <summary>Octets of header section and body so far.</summary>
    public long Octets => _bodyInStore + _length;

    /// <summary>The header section, with the empty line if there was one. Valid until <see cref="Dispose"/> and while <see cref="TakeBodyAsync"/>'s result is held.</summary>
    public ReadOnlyMemory<byte> Header => _array.AsMemory(0, HeaderLength);

    public BodyFacts BodyFacts => new(_is8Bit, _longestLine);

    private int Free => _taken - _length;

    private int HeaderLength => _headerLength < 0 ? _length : _headerLength;

    private int BodyInMemory => _headerLength < 0 ? 0 : _length - _headerLength;

    public void Fail(ContentFault fault)
    {
        if (Fault == ContentFault.None)
            Fault = fault;
    }

    /// <summary>Makes room for more: in memory while it is to be had, else by writing to the store what is there of the body.</summary>
    /// <param name="wanted">Octets that would be welcome.</param>
    /// <param name="channel">Keeps the deadline for the store.</param>
    /// <returns>How many may be appended: as many as wanted, or fewer.</returns>
    public ValueTask<int> MakeRoomAsync(int wanted, SmtpChannel channel) =>
        Fault == ContentFault.None && (Free < wanted || BodyInMemory > MessageBody.ChunkOctets) ? MakeRoomSlowlyAsync(wanted, channel) : new(wanted);

    /// <summary>Adds octets, of whose lines the scanner tells by <see cref="LineContinues"/> and <see cref="LineEnded"/>.</summary>
    public void Append(ReadOnlySpan<byte> octets)
    {
        if (Fault != ContentFault.None || octets.IsEmpty)
            return;
        if (Octets + octets.Length > _maxOctets)
        {
            Fail(ContentFault.TooLarge);
            return;
        }
        octets.CopyTo(_array.AsSpan(_length));
        _length += octets.Length;
        if (_headerLength < 0)
        {
            if (_length > SubmissionLimits.HeaderSection)
                Fail(ContentFault.HeaderTooLarge);
        }
        else if (!_is8Bit)
            _is8Bit = !Ascii.IsValid(octets);
    }

    /// <summary>The running line has so many octets more.</summary>
    public void LineContinues(int octets) => _lineOctets += octets;

    /// <summary>The running line has ended after so many octets more. True when it is the empty line after the header section.</summary>
    public bool LineEnded(int octets)
    {
        int line = _lineOctets + octets;
        _lineOctets = 0;
        if (_headerLength >= 0)
            _longestLine = Math.Max(_longestLine, line);
        return _headerLength < 0 && line == 0;
    }

    /// <summary>Everything appended so far is the header section.</summary>
    public void EndHeader() => _headerLength = _length;

    /// <summary>All octets were read.</summary>
    public void Finish()
    {
        if (_headerLength < 0)
            _headerLength = _length;
        else
            _longestLine = Math.Max(_longestLine, _lineOctets);
    }

    private async ValueTask<int> MakeRoomSlowlyAsync(int wanted, SmtpChannel channel)
    {
        if (BodyInMemory > MessageBody.ChunkOctets)
            await SpillAsync(all: false, channel);
        if (Free < wanted && !TryGrow(wanted) && Free < LeastRoom)
        {
            if (BodyInMemory < SmallestEarlyChunk)
                Fail(ContentFault.NoMemory);
            else
                await SpillAsync(all: true, channel);
        }
        return Fault == ContentFault.None ? Math.Min(wanted, Free) : wanted;
    }

    /// <summary>Writes body octets in memory to the store, whole chunks where it can, and gives back the memory they had.</summary>
    private async ValueTask SpillAsync(bool all, SmtpChannel channel)
    {
        _hash ??= new RelaxedBodyHash();
        while (Fault == ContentFault.None && (BodyInMemory > MessageBody.ChunkOctets || (all && BodyInMemory > 0)))
        {
            int octets = Math.Min(BodyInMemory, MessageBody.ChunkOctets);
            ReadOnlyMemory<byte> chunk = _array.AsMemory(_headerLength, octets);
            _hash.Append(chunk.Span);
            OfferOutcome written = await _writer.WriteChunkAsync(_id, _chunks, chunk, channel.BeginWait(SubmissionLimits.Offer));
            channel.EndWait();
            if (written != OfferOutcome.Committed)
            {
                Fail(written switch
                {
                    OfferOutcome.StoreFull => ContentFault.StoreFull,
                    OfferOutcome.Expired => ContentFault.StoreBusy,
                    _ => ContentFault.StoreFailed,
                });
                return;
            }
            _chunks++;
            _bodyInStore += octets;
            _array.AsSpan(_headerLength + octets, BodyInMemory - octets).CopyTo(_array.AsSpan(_headerLength));
            _length -= octets;
        }
        int enough = RoundUp(_length + LeastRoom);
        if (enough < _taken)
        {
            _budget.Return(_taken - enough);
            Resize(enough);
        }
    }

    /// <summary>The body, once all was read; the caller releases it. Small bodies take the array over, header section included.</summary>
    public async ValueTask<MessageBody> TakeBodyAsync(SmtpChannel channel)
    {
        if (_chunks > 0 || BodyInMemory > MessageBody.ChunkOctets)
        {
            await SpillAsync(all: true, channel);
            return MessageBody.InStore(_bodyInStore);
        }
        _handedOver = true;
        return MessageBody.FromPooled(_array!, _headerLength, BodyInMemory);
    }

    /// <summary>SHA-256 of the relaxed canonical body; of a body in the store it was fed while that was written.</summary>
    public byte[] RelaxedBodyHash()
    {
        if (_bodyHash is not null)
            return _bodyHash;
        _hash ??= new RelaxedBodyHash();
        if (_chunks == 0)
            _hash.Append(_array.AsSpan(_headerLength, BodyInMemory));
        return _bodyHash = _hash.Finish();
    }

    public void Dispose()
    {
        _hash?.Dispose();
        _budget.Return(_taken);
        _taken = 0;
        if (_array is { } array && !_handedOver)
            ArrayPool<byte>.Shared.Return(array);
        _array = null;
    }

    private bool TryGrow(int wanted)
    {
        int larger = RoundUp(_length + wanted);
        if (!_budget.TryTake(larger - _taken))
            return false;
        Resize(larger);
        return true;
    }

    private void Resize(int octets)
    {
        byte[] array = ArrayPool<byte>.Shared.Rent(octets);
        _array.AsSpan(0, _length).CopyTo(array);
        ArrayPool<byte>.Shared.Return(_array!);
        _array = array;
        _taken = octets;
    }

    private static int RoundUp(int octets) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(octets, FirstOctets));
}
