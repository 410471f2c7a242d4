using System.Buffers.Binary;

namespace RelayGate.Core.Policy;

/// <summary>Rolling usage of one object: 61 minute buckets and 25 hour buckets, for messages and recipients, so that no 60 minutes hold more than a limit.</summary>
/// <remarks>
/// Time never runs backwards: a <c>now</c> before the newest bucket is taken as the newest bucket. Not thread-safe; readers take a <see cref="Copy"/>.
/// A bucket holds at most 2^32 − 1 of each kind and stays there.
/// </remarks>
public sealed class UsageRing
{
    /// <summary>Largest stored form in octets: version, then for each window newest bucket, length and counts of at most 5 octets.</summary>
    public const int MaxOctets = 1 + 2 * (8 + 1) + (MinuteBuckets + HourBuckets) * 2 * 5;

    private const byte FormatVersion = 1;
    private const int MinuteBuckets = 61; // The running minute and the 60 before it: any 60 minutes touch at most 61.
    private const int HourBuckets = 25;

    private readonly BucketWindow _minutes;
    private readonly BucketWindow _hours;

    public UsageRing()
        : this(new BucketWindow(TimeSpan.TicksPerMinute, MinuteBuckets), new BucketWindow(TimeSpan.TicksPerHour, HourBuckets))
    {
    }

    private UsageRing(BucketWindow minutes, BucketWindow hours)
    {
        _minutes = minutes;
        _hours = hours;
    }

    /// <summary>Start of the newest minute anything was counted in; the usage clock never runs behind it. The year 1 for an unused ring.</summary>
    public DateTimeOffset Newest => new(_minutes.Newest * TimeSpan.TicksPerMinute, TimeSpan.Zero);

    /// <summary>Messages or recipients in the window that ends now: the running bucket and the 60 minutes (24 hours) before it.</summary>
    public long Used(LimitUnit unit, LimitWindow window, DateTimeOffset now) => Window(window).Sum(unit, now);

    /// <summary>Counts one message.</summary>
    /// <param name="recipients">Its number of recipients, at least 0.</param>
    public void Add(int recipients, DateTimeOffset now)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(recipients);
        _minutes.Add((uint)recipients, now);
        _hours.Add((uint)recipients, now);
    }

    /// <summary>Takes back one message that was counted. What has left a window is left alone.</summary>
    /// <param name="counted">When it was counted.</param>
    public void Remove(int recipients, DateTimeOffset counted)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(recipients);
        _minutes.Remove((uint)recipients, counted);
        _hours.Remove((uint)recipients, counted);
    }

    /// <summary>When usage in the window will have fallen to <paramref name="target"/> or less, if nothing is added.</summary>
    /// <returns><paramref name="now"/> when it has already; the end of time for a negative target.</returns>
    public DateTimeOffset WhenAtMost(long target, LimitUnit unit, LimitWindow window, DateTimeOffset now) =>
        target < 0 ? DateTimeOffset.MaxValue : Window(window).WhenAtMost(target, unit, now);

    /// <summary>A copy that can be read while this one goes on.</summary>
    public UsageRing Copy() => new(_minutes.Copy(), _hours.Copy());

    /// <summary>The stored form, at most <see cref="MaxOctets"/>; about 25 octets for a sender of one message.</summary>
    public byte[] ToBytes()
    {
        Span<byte> buffer = stackalloc byte[MaxOctets];
        buffer[0] = FormatVersion;
        int length = 1;
        _minutes.Write(buffer, ref length);
        _hours.Write(buffer, ref length);
        return buffer[..length].ToArray();
    }

    /// <exception cref="FormatException">The octets were not written by this version or an older one.</exception>
    public static UsageRing FromBytes(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty || bytes[0] != FormatVersion)
            throw new FormatException($"Usage is stored in format {(bytes.IsEmpty ? "none" : bytes[0])}; this version reads format {FormatVersion}");
        var ring = new UsageRing();
        int position = 1;
        ring._minutes.Read(bytes, ref position);
        ring._hours.Read(bytes, ref position);
        return position == bytes.Length ? ring : throw new FormatException("Stored usage is longer than its content");
    }

    private BucketWindow Window(LimitWindow window) => window == LimitWindow.Hour ? _minutes : _hours;

    /// <summary>Buckets of one length; bucket number n (counted from the year 1) is at index n modulo the number of buckets.</summary>
    private sealed class BucketWindow(long bucketTicks, int buckets)
    {
        private uint[] _messages = new uint[buckets];
        private uint[] _recipients = new uint[buckets];
        private long _messageSum;
        private long _recipientSum;

        /// <summary>Number of the newest bucket; everything older than the ring's length is zero.</summary>
        public long Newest { get; private set; }

        public BucketWindow Copy() => new(bucketTicks, buckets)
        {
            _messages = (uint[])_messages.Clone(),
            _recipients = (uint[])_recipients.Clone(),
            _messageSum = _messageSum,
            _recipientSum = _recipientSum,
            Newest = Newest,
        };

        public long Sum(LimitUnit unit, DateTimeOffset now)
        {
            long sum = unit == LimitUnit.Messages ? _messageSum : _recipientSum;
            uint[] counts = Counts(unit);
            long oldest = Newest - buckets + 1;
            long end = Math.Min(Number(now) - buckets, Newest); // Last bucket that has left the window.
            for (long number = oldest; number <= end; number++)
                sum -= counts[Index(number)];
            return sum;
        }

        public void Add(uint recipients, DateTimeOffset now)
        {
            Advance(Number(now));
            int index = Index(Newest);
            Count(_messages, index, 1, ref _messageSum);
            Count(_recipients, index, recipients, ref _recipientSum);
        }

        public void Remove(uint recipients, DateTimeOffset counted)
        {
            long number = Number(counted);
            if (number > Newest || number <= Newest - buckets)
                return;
            int index = Index(number);
            uint messages = Math.Min(_messages[index], 1);
            recipients = Math.Min(_recipients[index], recipients);
            _messages[index] -= messages;
            _recipients[index] -= recipients;
            _messageSum -= messages;
            _recipientSum -= recipients;
        }

        public DateTimeOffset WhenAtMost(long target, LimitUnit unit, DateTimeOffset now)
        {
            long sum = Sum(unit, now);
            if (sum <= target)
                return now;
            uint[] counts = Counts(unit);
            long number = Math.Max(Number(now), Newest) - buckets; // The last bucket that has left the window.
            while (sum > target && number < Newest)
                sum -= counts[Index(++number)];
            return new DateTimeOffset((number + buckets) * bucketTicks, TimeSpan.Zero);
        }

        /// <summary>Newest bucket, how many follow back in time until the last that is not zero, and their counts, newest first.</summary>
        public void Write(Span<byte> buffer, ref int length)
        {
            BinaryPrimitives.WriteInt64LittleEndian(buffer[length..], Newest);
            length += 8;
            int used = buckets;
            while (used > 0 && _messages[Index(Newest - used + 1)] == 0 && _recipients[Index(Newest - used + 1)] == 0)
                used--;
            buffer[length++] = (byte)used;
            for (int back = 0; back < used; back++)
            {
                WriteNumber(buffer, ref length, _messages[Index(Newest - back)]);
                WriteNumber(buffer, ref length, _recipients[Index(Newest - back)]);
            }
        }

        public void Read(ReadOnlySpan<byte> bytes, ref int position)
        {
            if (bytes.Length < position + 9 || bytes[position + 8] > buckets)
                throw new FormatException("Stored usage is cut off");
            Newest = BinaryPrimitives.ReadInt64LittleEndian(bytes[position..]);
            if (Newest < 0 || Newest > DateTimeOffset.MaxValue.Ticks / bucketTicks - buckets)
                throw new FormatException("Stored usage names an impossible time");
            int used = bytes[position + 8];
            position += 9;
            for (int back = 0; back < used; back++)
            {
                Count(_messages, Index(Newest - back), ReadNumber(bytes, ref position), ref _messageSum);
                Count(_recipients, Index(Newest - back), ReadNumber(bytes, ref position), ref _recipientSum);
            }
        }

        private static void Count(uint[] counts, int index, uint add, ref long sum)
        {
            uint before = counts[index];
            uint after = (uint)Math.Min((ulong)before + add, uint.MaxValue);
            counts[index] = after;
            sum += after - before;
        }

        private static void WriteNumber(Span<byte> buffer, ref int length, uint value)
        {
            for (; value >= 0x80; value >>= 7)
                buffer[length++] = (byte)(value | 0x80);
            buffer[length++] = (byte)value;
        }

        private static uint ReadNumber(ReadOnlySpan<byte> bytes, ref int position)
        {
            ulong value = 0;
            for (int shift = 0; shift < 35; shift += 7)
            {
                if (position >= bytes.Length)
                    break;
                byte octet = bytes[position++];
                value |= (ulong)(octet & 0x7f) << shift;
                if (octet < 0x80 && value <= uint.MaxValue)
                    return (uint)value;
            }
            throw new FormatException("Stored usage holds an impossible count");
        }

        private uint[] Counts(LimitUnit unit) => unit == LimitUnit.Messages ? _messages : _recipients;

        private long Number(DateTimeOffset time) => time.UtcTicks / bucketTicks;

        /// <summary>Numbers just before the year 1 occur for an unused ring, so the modulus is made positive.</summary>
        private int Index(long number) => (int)(((number % buckets) + buckets) % buckets);

        private void Advance(long number)
        {
            if (number <= Newest)
                return;
            long cleared = Math.Min(number - Newest, buckets);
            for (long next = number - cleared + 1; next <= number; next++)
            {
                int index = Index(next);
                _messageSum -= _messages[index];
                _recipientSum -= _recipients[index];
                _messages[index] = 0;
                _recipients[index] = 0;
            }
            Newest = number;
        }
    }
}
