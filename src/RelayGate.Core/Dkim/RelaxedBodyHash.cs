namespace RelayGate.Core.Dkim;

/// <summary>SHA-256 of a body in relaxed canonical form (RFC 6376 §3.4.4), fed piece by piece.</summary>
public sealed class RelaxedBodyHash : IDisposable
{
    public void Append(ReadOnlySpan<byte> octets) => throw new NotImplementedException();

    public byte[] Finish() => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
