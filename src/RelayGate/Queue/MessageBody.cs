namespace RelayGate.Queue;

/// <summary>
/// The body of one message (all octets after the empty line that ends the header section): in pooled memory, or in chunk rows of the store.
/// Counted references: submission, the writer and each delivery job hold one; the memory goes back to the pool with the last.
/// </summary>
public sealed class MessageBody
{
    /// <summary>Largest chunk row and largest body kept inline, in octets.</summary>
    public const int ChunkOctets = 256 * 1024;

    private byte[]? _pooled;
    private readonly int _offset;
    private int _references = 1;

    private MessageBody(long octets, byte[]? pooled, int offset, bool isChunked)
    {
        Octets = octets;
        _pooled = pooled;
        _offset = offset;
        IsChunked = isChunked;
    }

    /// <summary>A body in an array of <see cref="System.Buffers.ArrayPool{T}.Shared"/>, which this object returns.</summary>
    public static MessageBody FromPooled(byte[] array, int offset, int octets) => new(octets, array, offset, false);

    /// <summary>A body in chunk rows under the message's queue id.</summary>
    public static MessageBody InStore(long octets) => new(octets, null, 0, true);

    /// <summary>A small body of our own making (DSNs).</summary>
    public static MessageBody FromBytes(byte[] bytes)
    {
        byte[] pooled = System.Buffers.ArrayPool<byte>.Shared.Rent(Math.Max(1, bytes.Length));
        bytes.CopyTo(pooled, 0);
        return FromPooled(pooled, 0, bytes.Length);
    }

    public long Octets { get; }

    /// <summary>Whether the octets are in chunk rows of the store, to be read one by one.</summary>
    public bool IsChunked { get; }

    /// <summary>The octets of a body that is in memory. Only while a reference is held.</summary>
    /// <exception cref="InvalidOperationException">The body is in the store, or was released.</exception>
    public ReadOnlyMemory<byte> Memory => _pooled is { } array && !IsChunked
        ? array.AsMemory(_offset, (int)Octets)
        : throw new InvalidOperationException("The body is not in memory");

    public MessageBody AddReference()
    {
        Interlocked.Increment(ref _references);
        return this;
    }

    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0 && Interlocked.Exchange(ref _pooled, null) is { } array)
            System.Buffers.ArrayPool<byte>.Shared.Return(array);
    }
}
