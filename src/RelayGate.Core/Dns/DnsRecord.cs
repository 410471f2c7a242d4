using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Core.Dns;

/// <summary>Record types (RFC 1035 §3.2.2, RFC 3596, RFC 6891, RFC 6698). Others are read over.</summary>
public enum DnsType : ushort
{
    A = 1,
    Ns = 2,
    Cname = 5,
    Soa = 6,
    Ptr = 12,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
    Opt = 41,
    Tlsa = 52,
}

/// <summary>Response codes that are told apart (RFC 1035 §4.1.1, RFC 6895).</summary>
public enum DnsResponseCode : ushort
{
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// <summary>One resource record. Names are in lower case without a final dot.</summary>
/// <param name="Ttl">Seconds; 0 for what a peer sent with the highest bit set (RFC 2181 §8).</param>
public abstract record DnsRecord(string Name, DnsType Type, uint Ttl);

/// <summary>A or AAAA.</summary>
public sealed record AddressRecord(string Name, DnsType Type, uint Ttl, IPAddress Address) : DnsRecord(Name, Type, Ttl);

/// <param name="Exchange">Host name; "" for the null MX (RFC 7505).</param>
public sealed record MxRecord(string Name, uint Ttl, ushort Preference, string Exchange) : DnsRecord(Name, DnsType.Mx, Ttl);

/// <summary>CNAME, PTR or NS: a name in place of, or about, another.</summary>
public sealed record NameRecord(string Name, DnsType Type, uint Ttl, string Target) : DnsRecord(Name, Type, Ttl);

/// <param name="Minimum">Upper bound for the TTL of a negative answer (RFC 2308 §4).</param>
public sealed record SoaRecord(string Name, uint Ttl, uint Minimum) : DnsRecord(Name, DnsType.Soa, Ttl);

/// <param name="Octets">The character-strings of one record joined, as SPF and DKIM want them (RFC 7208 §3.3).</param>
public sealed record TxtRecord(string Name, uint Ttl, ImmutableArray<byte> Octets) : DnsRecord(Name, DnsType.Txt, Ttl);

/// <summary>TLSA (RFC 6698 §2.1). Equal by what it says, whatever its name and TTL.</summary>
/// <param name="Usage">2: DANE-TA, 3: DANE-EE; 0 and 1 are not for SMTP (RFC 7672 §3.1.3).</param>
/// <param name="Selector">0: the certificate, 1: its SubjectPublicKeyInfo.</param>
/// <param name="Matching">0: the octets themselves, 1: SHA-256, 2: SHA-512.</param>
public sealed record TlsaRecord(string Name, uint Ttl, byte Usage, byte Selector, byte Matching, ImmutableArray<byte> Data) : DnsRecord(Name, DnsType.Tlsa, Ttl)
{
    public bool Equals(TlsaRecord? other) =>
        other is not null && Usage == other.Usage && Selector == other.Selector && Matching == other.Matching && Data.AsSpan().SequenceEqual(other.Data.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Usage, Selector, Matching, Data.Length, Data.IsEmpty ? 0 : Data[0]);

    /// <summary>As in a zone file and in TLS reports: <c>3 1 1 0b9f…</c>.</summary>
    public override string ToString() => $"{Usage} {Selector} {Matching} {Convert.ToHexStringLower(Data.AsSpan())}";
}

/// <summary>What is asked. Class IN always.</summary>
/// <param name="Name">In lower case, without a final dot.</param>
public readonly record struct DnsQuestion(string Name, DnsType Type)
{
    public override string ToString() => $"{Name} {Type.ToString().ToUpperInvariant()}";
}
