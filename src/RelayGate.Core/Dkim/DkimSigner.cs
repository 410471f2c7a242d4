using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Dkim;

/// <summary>Makes DKIM-Signature fields: rsa-sha256, relaxed/relaxed, From oversigned, no l= (RFC 6376, RFC 8301).</summary>
public static class DkimSigner
{
    private const int MaxColumns = 77; // RFC 5322 §2.1.1 recommends 78.

    /// <summary>Whether a signature over these fields means the same to every verifier: one From, nothing malformed.</summary>
    public static bool CanSign(HeaderSection header)
    {
        int from = 0;
        foreach (ref readonly HeaderField field in header.Fields)
            from += field.Name == FieldName.From ? 1 : 0;
        return from == 1 && !header.IsMalformed;
    }

    /// <summary>Makes the field that goes on top of <paramref name="header"/>.</summary>
    /// <param name="header">Exactly the octets that will be sent.</param>
    /// <param name="bodyHash">SHA-256 of the relaxed canonical body.</param>
    /// <param name="at">t=.</param>
    /// <returns>The field with its folds and CRLF.</returns>
    public static byte[] Sign(HeaderSection header, DkimKey key, ReadOnlySpan<byte> bodyHash, DateTimeOffset at)
    {
        using var input = new OctetWriter(header.Octets.Length + 1024);
        using var field = new OctetWriter(1024);
        var names = new List<FieldName>(24);
        WriteSignedFields(input, header, names);
        WriteTags(field, key, names, bodyHash, at);
        RelaxedHeader.Write(input, "dkim-signature"u8, field.Written["DKIM-Signature:".Length..]);
        input.CutTo(input.Length - 2); // The field that is being made goes in without its CRLF (§3.7).

        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(input.Written, hash);
        Span<byte> signature = stackalloc byte[1024];
        if (!key.Rsa.TrySignHash(hash, signature, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1, out int length))
            throw new CryptographicException("The RSA key is larger than 8192 bits");
        WriteFoldedBase64(field, signature[..length]);
        field.Write("\r\n"u8);
        return field.ToArray();
    }

    /// <summary>Writes the canonical fields in the order of h=: each name's fields from the bottom up, as verifiers take them (§5.4.2).</summary>
    private static void WriteSignedFields(OctetWriter input, HeaderSection header, List<FieldName> names)
    {
        ReadOnlySpan<HeaderField> fields = header.Fields;
        // One pass finds which names occur; most of them do not.
        ulong present = 0;
        foreach (ref readonly HeaderField field in fields)
        {
            if (field.Name.IsSigned())
                present |= 1UL << (int)field.Name;
        }
        for (FieldName name = FieldName.From; name <= FieldName.FeedbackId; name++)
        {
            if ((present & (1UL << (int)name)) == 0)
                continue;
            for (int i = fields.Length - 1; i >= 0; i--)
            {
                if (fields[i].Name != name)
                    continue;
                RelaxedHeader.Write(input, FieldNames.LowerCaseOf(name), header.ValueOf(fields[i]));
                names.Add(name);
            }
            if (name == FieldName.From)
                names.Add(name); // Named once more than it occurs: a second From breaks the signature (§5.4, §8.15).
        }
    }

    private static void WriteTags(OctetWriter field, DkimKey key, List<FieldName> names, ReadOnlySpan<byte> bodyHash, DateTimeOffset at)
    {
        field.Write("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td="u8);
        field.Write(key.Domain.Value);
        bool fits = key.Domain.Value.Length + key.Selector.Length + 24 <= MaxColumns;
        field.Write(fits ? "; s=" : ";\r\n\ts=");
        field.Write(key.Selector);
        field.Write(fits ? $"; t={at.ToUnixTimeSeconds()};\r\n\th=" : $";\r\n\tt={at.ToUnixTimeSeconds()};\r\n\th=");
        int column = 10; // A tab shows as eight columns.
        for (int i = 0; i < names.Count; i++)
        {
            ReadOnlySpan<byte> name = FieldNames.LowerCaseOf(names[i]);
            if (column + name.Length + 1 > MaxColumns)
            {
                field.Write("\r\n\t "u8);
                column = 9;
            }
            field.Write(name);
            field.Write(i + 1 < names.Count ? (byte)':' : (byte)';');
            column += name.Length + 1;
        }
        Span<byte> base64 = stackalloc byte[Base64.GetMaxEncodedToUtf8Length(SHA256.HashSizeInBytes)];
        Base64.EncodeToUtf8(bodyHash, base64, out _, out int written);
        field.Write("\r\n\tbh="u8);
        field.Write(base64[..written]);
        field.Write(";\r\n\tb="u8);
    }

    private static void WriteFoldedBase64(OctetWriter field, ReadOnlySpan<byte> signature)
    {
        Span<byte> base64 = stackalloc byte[Base64.GetMaxEncodedToUtf8Length(1024)];
        Base64.EncodeToUtf8(signature, base64, out _, out int length);
        int room = MaxColumns - 10;
        for (int position = 0; position < length; position += room, room = MaxColumns - 9)
        {
            if (position > 0)
            {
                field.Write("\r\n\t "u8);
                room = MaxColumns - 9;
            }
            field.Write(base64[position..Math.Min(length, position + room)]);
        }
    }
}
