using System.Collections.Immutable;
using RelayGate.Core.Dns;

namespace RelayGate.Core.Tls;

/// <summary>Versions that can be asked for. Older ones are never spoken (RFC 8996).</summary>
public enum TlsVersion
{
    Tls12,
    Tls13,
}

/// <summary>
/// All that a connection to one host is checked against. Equal by value: a connection that was opened under one policy serves another message
/// only if that has an equal one.
/// </summary>
public sealed record TlsPolicy(TlsMode Mode)
{
    public static readonly TlsPolicy None = new(TlsMode.None);

    public static readonly TlsPolicy May = new(TlsMode.May);

    public TlsVersion Minimum { get; init; } = TlsVersion.Tls12;

    /// <summary>Names of which the certificate must have one, lower case; for Verify, Sts, and Dane with a DANE-TA record. Empty otherwise.</summary>
    public ImmutableArray<string> Names { get; init; } = [];

    /// <summary>The usable TLSA records of the host; for Dane.</summary>
    public ImmutableArray<TlsaRecord> Tlsa { get; init; } = [];

    /// <summary>False: a failed check is told of and the mail goes all the same (MTA-STS in mode testing, RFC 8461 §5). True by default.</summary>
    public bool IsEnforced { get; init; } = true;

    /// <summary>Whether mail must not leave over a connection without TLS.</summary>
    public bool NeedsTls => Mode >= TlsMode.Encrypt && IsEnforced;

    /// <summary>Whether the certificate says who is at the other end.</summary>
    public bool IsVerified => Mode >= TlsMode.Verify && IsEnforced;

    public bool Equals(TlsPolicy? other) =>
        ReferenceEquals(this, other)
        || (other is not null && Mode == other.Mode && Minimum == other.Minimum && IsEnforced == other.IsEnforced
            && Names.AsSpan().SequenceEqual(other.Names.AsSpan()) && Tlsa.AsSpan().SequenceEqual(other.Tlsa.AsSpan()));

    public override int GetHashCode() =>
        HashCode.Combine(Mode, Minimum, IsEnforced, Names.IsEmpty ? 0 : Names[0].GetHashCode(StringComparison.Ordinal), Tlsa.Length);
}
