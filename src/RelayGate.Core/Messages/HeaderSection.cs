namespace RelayGate.Core.Messages;

/// <summary>A header section as received, cut into fields by one scan; every octet kept (RFC 5322 §2.2).</summary>
public sealed class HeaderSection
{
    /// <summary>Scans the octets before the body. The empty line that ends the section may be included or missing.</summary>
    public static HeaderSection Parse(ReadOnlyMemory<byte> octets) => throw new NotImplementedException();

    /// <summary>The facts of header section and body.</summary>
    /// <param name="totalOctets">Octets of header section and body.</param>
    /// <param name="body">What was seen of the body while it was read.</param>
    public MessageFacts ToFacts(long totalOctets, BodyFacts body) => throw new NotImplementedException();
}

/// <summary>What is seen of a body while it is read.</summary>
/// <param name="LongestLine">Octets of its longest line without CRLF.</param>
public readonly record struct BodyFacts(bool Is8Bit, int LongestLine);
