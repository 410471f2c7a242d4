using System.Buffers;
using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>Writes octets one after the other into pooled memory. Dispose gives the memory back.</summary>
internal sealed class OctetWriter : IDisposable
{
    private byte[] _buffer;

    public OctetWriter(int expected) => _buffer = ArrayPool<byte>.Shared.Rent(Math.Max(256, expected));

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    public void Write(ReadOnlySpan<byte> octets)
    {
        octets.CopyTo(Reserve(octets.Length));
        Length += octets.Length;
    }

    public void Write(byte octet)
    {
        if (Length == _buffer.Length)
            Reserve(1);
        _buffer[Length++] = octet;
    }

    /// <summary>Writes text as UTF-8.</summary>
    public void Write(string text)
    {
        Span<byte> free = Reserve(text.Length * 3);
        Length += Encoding.UTF8.GetBytes(text, free);
    }

    public byte[] ToArray() => Written.ToArray();

    /// <summary>Forgets what was written after <paramref name="length"/>.</summary>
    public void CutTo(int length) => Length = Math.Min(length, Length);

    public void Dispose()
    {
        if (_buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
        Length = 0;
    }

    private Span<byte> Reserve(int octets)
    {
        if (_buffer.Length - Length < octets)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_buffer.Length * 2, Length + octets));
            Written.CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
        return _buffer.AsSpan(Length);
    }
}
