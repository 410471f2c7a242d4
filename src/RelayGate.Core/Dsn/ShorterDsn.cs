using System.Text;
using System.Text.Unicode;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Dsn;

/// <summary>Writes a report of <see cref="DsnComposer"/> once more with the header section of the returned message alone: nobody hears of a report that is too large.</summary>
public static class ShorterDsn
{
    /// <param name="header">Of the report, with its signatures.</param>
    /// <param name="from">In whose name it is written now.</param>
    /// <returns>The report, not signed. Null: it returns no whole message, so that nothing can be left out.</returns>
    public static ComposedDsn? Of(ReadOnlyMemory<byte> header, ReadOnlySpan<byte> body, bool headerNeedsUtf8, MailboxAddress from)
    {
        HeaderSection section = HeaderSection.Parse(header);
        if (Boundary(section) is not { } boundary)
            return null;
        int part = body.LastIndexOf(Encoding.ASCII.GetBytes($"\r\n--{boundary}\r\n"));
        int end = body.LastIndexOf(Encoding.ASCII.GetBytes($"\r\n--{boundary}--\r\n"));
        if (part < 0 || end <= part)
            return null;
        part += boundary.Length + 6;
        ReadOnlySpan<byte> returned = body[part..end];
        int content = returned.IndexOf("\r\n\r\n"u8);
        if (content < 0 || !(returned.StartsWith("Content-Type: message/rfc822\r\n"u8) || returned.StartsWith("Content-Type: message/global\r\n"u8)))
            return null;
        (byte[] fields, byte[] headers, _) = DsnComposer.HeaderAlone(HeaderSection.Parse(returned[(content + 4)..].ToArray()), int.MaxValue, headerNeedsUtf8);
        byte[] shorter = [.. body[..part], .. fields, .. "\r\n"u8, .. headers, .. body[end..]];
        bool is8Bit = !Ascii.IsValid(shorter);
        return new ComposedDsn(Header(section, from, is8Bit), shorter, headerNeedsUtf8, is8Bit);
    }

    private static string? Boundary(HeaderSection section)
    {
        if (!section.TryFind(FieldName.ContentType, out HeaderField field))
            return null;
        string value = Encoding.UTF8.GetString(section.ValueOf(field));
        int start = value.IndexOf("boundary=\"", StringComparison.Ordinal) + "boundary=\"".Length;
        int end = value.IndexOf('"', Math.Max(0, start));
        return value.Contains("report-type=delivery-status", StringComparison.Ordinal) && start >= "boundary=\"".Length && end > start ? value[start..end] : null;
    }

    private static byte[] Header(HeaderSection section, MailboxAddress from, bool is8Bit)
    {
        using var header = new OctetWriter(section.Octets.Length + 256);
        foreach (ref readonly HeaderField field in section.Fields)
        {
            ReadOnlySpan<byte> octets = section.Octets.Span.Slice(field.Start, field.Length);
            if (field.Name == FieldName.From)
                header.Write(DsnComposer.FromField(from.Text));
            else if (field.Name is not (FieldName.DkimSignature or FieldName.ContentTransferEncoding))
                header.Write(octets);
        }
        header.Write(is8Bit ? "Content-Transfer-Encoding: 8bit\r\n\r\n"u8 : "\r\n"u8);
        return header.ToArray();
    }
}
