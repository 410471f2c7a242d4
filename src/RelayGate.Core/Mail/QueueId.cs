using System.Buffers.Binary;

namespace RelayGate.Core.Mail;

/// <summary>Names one mail transaction in replies, logs, records and pages: a ULID (48 bits of milliseconds, 80 random bits).</summary>
public readonly record struct QueueId(UInt128 Value) : IComparable<QueueId>
{
    private const int TextLength = 26;
    private const string Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's base 32.

    /// <param name="at">Time of the MAIL command; what is before 1970 counts as its beginning.</param>
    /// <param name="high">16 random bits in the low end.</param>
    /// <param name="low">64 random bits.</param>
    public static QueueId Create(DateTimeOffset at, ushort high, ulong low) =>
        new(new UInt128(((ulong)Math.Max(at.ToUnixTimeMilliseconds(), 0) << 16) | high, low));

    /// <summary>When the transaction began, to the millisecond.</summary>
    public DateTimeOffset Timestamp => DateTimeOffset.FromUnixTimeMilliseconds((long)(ulong)(Value >> 80));

    public static QueueId FromBytes(ReadOnlySpan<byte> bytes) => new(BinaryPrimitives.ReadUInt128BigEndian(bytes));

    public byte[] ToBytes()
    {
        var bytes = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Value);
        return bytes;
    }

    public static bool TryParse(ReadOnlySpan<char> text, out QueueId id)
    {
        id = default;
        if (text.Length != TextLength || text[0] > '7')
            return false;
        UInt128 value = 0;
        foreach (char c in text)
        {
            int digit = Alphabet.IndexOf(char.ToUpperInvariant(c), StringComparison.Ordinal);
            if (digit < 0)
                return false;
            value = (value << 5) | (UInt128)digit;
        }
        id = new QueueId(value);
        return true;
    }

    public int CompareTo(QueueId other) => Value.CompareTo(other.Value);

    public override string ToString() => string.Create(TextLength, Value, static (span, value) =>
    {
        for (int i = TextLength - 1; i >= 0; i--, value >>= 5)
            span[i] = Alphabet[(int)(value & 31)];
    });

    public static bool operator <(QueueId left, QueueId right) => left.Value < right.Value;

    public static bool operator >(QueueId left, QueueId right) => left.Value > right.Value;

    public static bool operator <=(QueueId left, QueueId right) => left.Value <= right.Value;

    public static bool operator >=(QueueId left, QueueId right) => left.Value >= right.Value;
}
