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
}

/// <summary>The content of one message while it is received: header section and body in one pooled array; a large body goes to the store in chunks.</summary>
/// <remarks>
/// Array: <c>[header section with its empty line][body octets not yet in the store]</c>. Not safe for two threads; the session has it alone.
/// </remarks>
internal sealed class MailContent : IDisposable
{
    private const int FirstOctets = 8 * 1024;
    private const int SmallestEarlyChunk = 16 * 1024;

    private readonly QueueId _id;
    private readonly QueueWriter _writer;
    private readonly MemoryBudget _budget;
    private readonly long _maxOctets;
    private byte[]? _array;
    private int _length;
    private int _headerLength = -1;
    private int _chunks;
    private long _bodyInStore;
    private RelaxedBodyHash? _hash;
    private int _lineOctets;
    private int _longestLine;
    private bool _is8Bit;
    private bool _wantsSpace;
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
        int first = (int)Math.Clamp((declaredOctets ?? 0) + ((declaredOctets ?? 0) >> 1), FirstOctets, MessageBody.ChunkOctets);
        if (budget.TryTake(first))
            _array = ArrayPool<byte>.Shared.Rent(first);
        else
            Fault = ContentFault.NoMemory;
        Taken = _array is null ? 0 : first;
    }

    /// <summary>The first thing that was wrong; content is not kept from then on.</summary>
    public ContentFault Fault { get; private set; }

    /// <summary>Octets of header section and body so far.</summary>
    public long Octets => _bodyInStore + _length;

    /// <summary>The body in memory has outgrown one chunk, or no memory is to be had: <see cref="SpillAsync"/> is due.</summary>
    public bool MustSpill => Fault == ContentFault.None && (BodyInMemory > MessageBody.ChunkOctets || _wantsSpace);

    /// <summary>The header section, with the empty line if there was one. Valid until <see cref="Dispose"/> and while <see cref="TakeBodyAsync"/>'s result is held.</summary>
    public ReadOnlyMemory<byte> Header => _array.AsMemory(0, HeaderLength);

    public BodyFacts BodyFacts => new(_is8Bit, _longestLine);

    /// <summary>Octets of the shared budget that this content holds.</summary>
    private long Taken { get; set; }

    private int HeaderLength => _headerLength < 0 ? _length : _headerLength;

    private int BodyInMemory => _headerLength < 0 ? 0 : _length - _headerLength;

    public void Fail(ContentFault fault)
    {
        if (Fault == ContentFault.None)
            Fault = fault;
    }

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
        if (!EnsureRoom(octets.Length))
            return;
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

    /// <summary>Writes body octets in memory to the store, whole chunks where it can.</summary>
    public async ValueTask SpillAsync(bool all, CancellationToken cancellationToken)
    {
        bool early = _wantsSpace;
        _wantsSpace = false;
        _hash ??= new RelaxedBodyHash();
        while (Fault == ContentFault.None && (BodyInMemory > MessageBody.ChunkOctets || ((all || early) && BodyInMemory > 0)))
        {
            int octets = Math.Min(BodyInMemory, MessageBody.ChunkOctets);
            ReadOnlyMemory<byte> chunk = _array.AsMemory(_headerLength, octets);
            _hash.Append(chunk.Span);
            if (!await _writer.WriteChunkAsync(_id, _chunks, chunk, cancellationToken))
            {
                Fail(ContentFault.StoreFull);
                return;
            }
            _chunks++;
            _bodyInStore += octets;
            _array.AsSpan(_headerLength + octets, BodyInMemory - octets).CopyTo(_array.AsSpan(_headerLength));
            _length -= octets;
        }
    }

    /// <summary>The body, once all was read; the caller releases it. Small bodies take the array over, header section included.</summary>
    public async ValueTask<MessageBody> TakeBodyAsync(CancellationToken cancellationToken)
    {
        if (_chunks > 0)
        {
            await SpillAsync(all: true, cancellationToken);
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
        _budget.Return(Taken);
        Taken = 0;
        if (_array is { } array && !_handedOver)
            ArrayPool<byte>.Shared.Return(array);
        _array = null;
    }

    private bool EnsureRoom(int octets)
    {
        int needed = _length + octets;
        if (needed <= _array!.Length)
            return true;
        int larger = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)needed);
        if (!_budget.TryTake(larger - Taken))
        {
            // Room to finish this block is always taken; then the body goes to the store, if there is enough of it to be worth a row.
            if (BodyInMemory < SmallestEarlyChunk)
            {
                Fail(ContentFault.NoMemory);
                return false;
            }
            _budget.Return(-(larger - Taken));
            _wantsSpace = true;
        }
        Taken = larger;
        byte[] array = ArrayPool<byte>.Shared.Rent(larger);
        _array.AsSpan(0, _length).CopyTo(array);
        ArrayPool<byte>.Shared.Return(_array!);
        _array = array;
        return true;
    }
}
