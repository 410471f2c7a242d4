namespace RelayGate.Core.Policy;

/// <summary>Rolling usage of one object: 61 minute buckets and 25 hour buckets, for messages and recipients, so that no 60 minutes hold more than a limit.</summary>
public sealed class UsageRing
{
    /// <summary>Messages or recipients in the window that ends now: the running bucket and the 60 minutes (24 hours) before it.</summary>
    public long Used(LimitUnit unit, LimitWindow window, DateTimeOffset now) => throw new NotImplementedException();

    /// <summary>Counts one message.</summary>
    public void Add(int recipients, DateTimeOffset now) => throw new NotImplementedException();

    /// <summary>When usage in the window will have fallen to <paramref name="target"/> or less, if nothing is added.</summary>
    public DateTimeOffset WhenAtMost(long target, LimitUnit unit, LimitWindow window, DateTimeOffset now) => throw new NotImplementedException();

    /// <summary>A copy that can be read while this one goes on.</summary>
    public UsageRing Copy() => throw new NotImplementedException();

    /// <summary>The stored form, at most 2 KiB.</summary>
    public byte[] ToBytes() => throw new NotImplementedException();

    public static UsageRing FromBytes(ReadOnlySpan<byte> bytes) => throw new NotImplementedException();
}
