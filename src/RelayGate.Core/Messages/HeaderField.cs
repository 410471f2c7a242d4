namespace RelayGate.Core.Messages;

/// <summary>Where one header field lies within its section, with all of its continuation lines (RFC 5322 §2.2.3).</summary>
/// <param name="Name">What it is, when it is one of those that matter.</param>
/// <param name="Start">Offset of its first octet.</param>
/// <param name="Length">Octets with the CRLF that ends it.</param>
/// <param name="NameLength">Octets of its name, without blanks before the colon; 0 for a malformed line.</param>
/// <param name="ValueOffset">Offset of the octet after the colon, from <paramref name="Start"/>.</param>
public readonly record struct HeaderField(FieldName Name, int Start, int Length, int NameLength, int ValueOffset)
{
    /// <summary>Whether blanks stand between name and colon (RFC 5322 §4.5, obsolete; some verifiers stumble over it).</summary>
    public bool HasBlankBeforeColon => NameLength > 0 && ValueOffset > NameLength + 1;
}
