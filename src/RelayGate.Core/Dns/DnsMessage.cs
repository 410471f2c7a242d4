using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Net;

namespace RelayGate.Core.Dns;

/// <summary>A response of a DNS server, strictly read (RFC 1035 §4). Also writes queries.</summary>
/// <param name="IsTruncated">TC: ask again over TCP.</param>
/// <param name="IsAuthentic">AD: the resolver has validated the answer (RFC 4035 §3.2.3). Worth only what the way to the resolver is worth.</param>
/// <param name="Question">Null when the response repeats none.</param>
/// <param name="Answers">Records of known types in the answer section.</param>
/// <param name="Authority">Records of known types in the authority section.</param>
public sealed record DnsMessage(
    ushort Id, DnsResponseCode Code, bool IsTruncated, bool IsAuthentic, DnsQuestion? Question,
    ImmutableArray<DnsRecord> Answers, ImmutableArray<DnsRecord> Authority)
{
    /// <summary>UDP payload offered with EDNS0, in octets: no fragments on usual paths.</summary>
    public const int UdpPayload = 1232;

    /// <summary>Most octets of a query.</summary>
    public const int MaxQueryOctets = 300;

    private const int HeaderOctets = 12;
    private const int MaxRecords = 4096; // A message of 64 KiB holds no more that are useful.

    /// <summary>Writes a query with recursion desired and AD asked for (RFC 6840 §5.7).</summary>
    /// <param name="edns">Whether to add OPT; servers that refuse it are asked without.</param>
    /// <param name="wantsDnssec">Sets DO (RFC 3225); needs <paramref name="edns"/>.</param>
    /// <returns>Octets written, or 0 when the name cannot be written.</returns>
    public static int WriteQuery(Span<byte> target, ushort id, DnsQuestion question, bool edns, bool wantsDnssec = false)
    {
        target[..HeaderOctets].Clear();
        BinaryPrimitives.WriteUInt16BigEndian(target, id);
        target[2] = 0x01; // RD
        target[3] = 0x20; // AD
        target[5] = 1;
        if (!DnsNameCodec.TryWrite(question.Name, target[HeaderOctets..], out int name))
            return 0;
        int position = HeaderOctets + name;
        BinaryPrimitives.WriteUInt16BigEndian(target[position..], (ushort)question.Type);
        BinaryPrimitives.WriteUInt16BigEndian(target[(position + 2)..], 1);
        position += 4;
        if (!edns)
            return position;
        target[11] = 1;
        Span<byte> opt = target.Slice(position, 11);
        opt.Clear();
        opt[2] = (byte)DnsType.Opt;
        BinaryPrimitives.WriteUInt16BigEndian(opt[3..], UdpPayload);
        opt[7] = (byte)(wantsDnssec ? 0x80 : 0);
        return position + 11;
    }

    /// <summary>Reads a response. Never throws; whatever is not a well-formed response is refused whole.</summary>
    public static bool TryParse(ReadOnlySpan<byte> wire, [NotNullWhen(true)] out DnsMessage? message)
    {
        message = null;
        if (wire.Length < HeaderOctets || (wire[2] & 0xf8) != 0x80) // QR set, opcode QUERY.
            return false;
        ushort id = BinaryPrimitives.ReadUInt16BigEndian(wire);
        int questions = BinaryPrimitives.ReadUInt16BigEndian(wire[4..]);
        int answers = BinaryPrimitives.ReadUInt16BigEndian(wire[6..]);
        int authorities = BinaryPrimitives.ReadUInt16BigEndian(wire[8..]);
        bool truncated = (wire[2] & 0x02) != 0;
        int position = HeaderOctets;
        if (questions > 1 || answers + authorities > MaxRecords)
            return false;
        DnsQuestion? question = null;
        if (questions == 1)
        {
            if (!DnsNameCodec.TryRead(wire, ref position, out string name) || position + 4 > wire.Length)
                return false;
            if (BinaryPrimitives.ReadUInt16BigEndian(wire[(position + 2)..]) != 1)
                return false;
            question = new DnsQuestion(name, (DnsType)BinaryPrimitives.ReadUInt16BigEndian(wire[position..]));
            position += 4;
        }
        ImmutableArray<DnsRecord> answer = [];
        ImmutableArray<DnsRecord> authority = [];
        if (!truncated && (!TryReadSection(wire, ref position, answers, out answer) || !TryReadSection(wire, ref position, authorities, out authority)))
            return false;
        message = new DnsMessage(id, (DnsResponseCode)(wire[3] & 0x0f), truncated, (wire[3] & 0x20) != 0, question, answer, authority);
        return true;
    }

    private static bool TryReadSection(ReadOnlySpan<byte> wire, ref int position, int count, out ImmutableArray<DnsRecord> records)
    {
        records = [];
        if (count == 0)
            return true;
        var list = ImmutableArray.CreateBuilder<DnsRecord>();
        for (int i = 0; i < count; i++)
        {
            if (!DnsNameCodec.TryRead(wire, ref position, out string name) || position + 10 > wire.Length)
                return false;
            var type = (DnsType)BinaryPrimitives.ReadUInt16BigEndian(wire[position..]);
            ushort @class = BinaryPrimitives.ReadUInt16BigEndian(wire[(position + 2)..]);
            uint ttl = BinaryPrimitives.ReadUInt32BigEndian(wire[(position + 4)..]);
            int length = BinaryPrimitives.ReadUInt16BigEndian(wire[(position + 8)..]);
            position += 10;
            if (position + length > wire.Length)
                return false;
            if (@class == 1 && IsKnown(type))
            {
                if (!TryReadData(wire[..(position + length)], position, name, type, ttl > int.MaxValue ? 0 : ttl, out DnsRecord? record))
                    return false;
                list.Add(record);
            }
            position += length;
        }
        records = list.ToImmutable();
        return true;
    }

    private static bool IsKnown(DnsType type) => type is DnsType.A or DnsType.Ns or DnsType.Aaaa or DnsType.Cname or DnsType.Ptr or DnsType.Mx or DnsType.Soa or DnsType.Txt or DnsType.Tlsa;

    /// <param name="wire">The message up to the end of the data.</param>
    private static bool TryReadData(ReadOnlySpan<byte> wire, int start, string name, DnsType type, uint ttl, [NotNullWhen(true)] out DnsRecord? record)
    {
        record = null;
        ReadOnlySpan<byte> data = wire[start..];
        int position = start;
        switch (type)
        {
            case DnsType.A when data.Length == 4:
            case DnsType.Aaaa when data.Length == 16:
                record = new AddressRecord(name, type, ttl, new IPAddress(data));
                break;
            case DnsType.Cname or DnsType.Ptr or DnsType.Ns:
                if (DnsNameCodec.TryRead(wire, ref position, out string target) && position == wire.Length)
                    record = new NameRecord(name, type, ttl, target);
                break;
            case DnsType.Mx when data.Length >= 3:
                position += 2;
                if (DnsNameCodec.TryRead(wire, ref position, out string exchange) && position == wire.Length)
                    record = new MxRecord(name, ttl, BinaryPrimitives.ReadUInt16BigEndian(data), exchange);
                break;
            case DnsType.Soa:
                if (DnsNameCodec.TryRead(wire, ref position, out _) && DnsNameCodec.TryRead(wire, ref position, out _) && position + 20 == wire.Length)
                    record = new SoaRecord(name, ttl, BinaryPrimitives.ReadUInt32BigEndian(wire[(position + 16)..]));
                break;
            case DnsType.Txt:
                record = ReadText(data, name, ttl);
                break;
            case DnsType.Tlsa when data.Length >= 3:
                record = new TlsaRecord(name, ttl, data[0], data[1], data[2], [.. data[3..]]);
                break;
        }
        return record is not null;
    }

    private static TxtRecord? ReadText(ReadOnlySpan<byte> data, string name, uint ttl)
    {
        var octets = ImmutableArray.CreateBuilder<byte>(data.Length);
        while (!data.IsEmpty)
        {
            int length = data[0];
            if (1 + length > data.Length)
                return null;
            octets.AddRange(data.Slice(1, length));
            data = data[(1 + length)..];
        }
        return new TxtRecord(name, ttl, octets.ToImmutable());
    }
}
