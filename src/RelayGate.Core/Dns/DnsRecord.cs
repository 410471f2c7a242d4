using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Core.Dns;

/// <summary>Record types (RFC 1035 §3.2.2, RFC 3596, RFC 6891). Others are read over.</summary>
public enum DnsType : ushort
{
    A = 1,
    Cname = 5,
    Soa = 6,
    Ptr = 12,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
    Opt = 41,
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

/// <summary>CNAME or PTR: a name that stands for another.</summary>
public sealed record NameRecord(string Name, DnsType Type, uint Ttl, string Target) : DnsRecord(Name, Type, Ttl);

/// <param name="Minimum">Upper bound for the TTL of a negative answer (RFC 2308 §4).</param>
public sealed record SoaRecord(string Name, uint Ttl, uint Minimum) : DnsRecord(Name, DnsType.Soa, Ttl);

/// <param name="Octets">The character-strings of one record joined, as SPF and DKIM want them (RFC 7208 §3.3).</param>
public sealed record TxtRecord(string Name, uint Ttl, ImmutableArray<byte> Octets) : DnsRecord(Name, DnsType.Txt, Ttl);

/// <summary>What is asked. Class IN always.</summary>
/// <param name="Name">In lower case, without a final dot.</param>
public readonly record struct DnsQuestion(string Name, DnsType Type)
{
    public override string ToString() => $"{Name} {Type.ToString().ToUpperInvariant()}";
}
