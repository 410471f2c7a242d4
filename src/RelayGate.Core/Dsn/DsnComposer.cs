using System.Text;
using System.Text.Unicode;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Dsn;

/// <summary>Writes RFC 3464 reports from the null sender, with Auto-Submitted (RFC 3834), ASCII unless the original needed more.</summary>
/// <remarks>
/// multipart/report (RFC 6522) of text for people, message/delivery-status and what is returned of the original. Addresses beyond ASCII are
/// written in the 7-bit form of RFC 6533 §3, so that every next hop can take the report; only where the sender's own address needs SMTPUTF8
/// does the report itself go by it, with the media types of RFC 6533 §4 and §6. A body is returned up to a bound and only for failures; of what could
/// not go for its octets above 127 the header section alone, encoded.
/// </remarks>
public static class DsnComposer
{
    /// <summary>Default of <see cref="DsnRequest.MaxReturnedOctets"/>.</summary>
    public const int DefaultMaxReturnedOctets = 50 * 1024;

    private const int MaxLineOctets = 998; // RFC 5322 §2.1.1.

    public static ComposedDsn Compose(DsnRequest request)
    {
        HeaderSection original = HeaderSection.Parse(request.Original);
        string to = AddressText(request.To);
        bool utf8 = !Ascii.IsValid(to);
        (byte[] headers, byte[] content, bool is8Bit) returned = Returned(request, original, utf8);
        byte[] text = DsnText.Write(request, original);
        byte[] status = new DeliveryStatus(utf8).Write(request);
        bool is8Bit = returned.is8Bit || !Ascii.IsValid(status);
        string boundary = BoundaryFor(request.Id, returned.content);

        using var body = new OctetWriter(text.Length + status.Length + returned.content.Length + 1024);
        body.Write($"This is a delivery status notification in MIME format (RFC 3464).\r\n\r\n--{boundary}\r\n");
        if (Ascii.IsValid(text))
        {
            body.Write("Content-Type: text/plain; charset=us-ascii\r\n\r\n");
            body.Write(text);
        }
        else
        {
            body.Write("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
            body.Write(QuotedPrintable.Encode(text));
        }
        body.Write($"\r\n--{boundary}\r\nContent-Type: message/{(utf8 ? "global-delivery-status" : "delivery-status")}\r\n{(Ascii.IsValid(status) ? "" : "Content-Transfer-Encoding: 8bit\r\n")}\r\n");
        body.Write(status);
        body.Write($"\r\n--{boundary}\r\n");
        body.Write(returned.headers);
        body.Write("\r\n"u8);
        body.Write(returned.content);
        body.Write($"\r\n--{boundary}--\r\n");

        string header =
            FromField(request.From?.Text ?? $"MAILER-DAEMON@{request.ReportingMta}") +
            $"To: <{to}>\r\n" +
            $"Subject: {DsnText.Subject(request)}\r\n" +
            $"Date: {MailDate.Format(request.Now)}\r\n" +
            $"Message-ID: <{request.Id}@{request.ReportingMta}>\r\n" +
            References(original) +
            "Auto-Submitted: auto-replied\r\n" +
            "MIME-Version: 1.0\r\n" +
            $"Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n" +
            (is8Bit ? "Content-Transfer-Encoding: 8bit\r\n" : "") +
            "\r\n";
        return new ComposedDsn(Encoding.UTF8.GetBytes(header), body.ToArray(), HeaderNeedsUtf8: utf8, is8Bit);
    }

    /// <summary>The address with its domain as A-labels, where it has one.</summary>
    internal static string AddressText(MailboxAddress address) =>
        address.Domain is { } domain && !Ascii.IsValid(address.DomainText) ? $"{address.LocalPart}@{domain}" : address.Text;

    /// <summary>The third part: the whole message, or its header section where the body is not to be had, too large or not fit to be enclosed.</summary>
    private static (byte[] Headers, byte[] Content, bool Is8Bit) Returned(DsnRequest request, HeaderSection original, bool utf8)
    {
        if (request.OriginalBody is { } body && request.Original.Length + body.Length <= request.MaxReturnedOctets
            && request.Recipients.Any(static r => r.Action == DsnAction.Failed)
            && !request.Recipients.Any(static r => r.IsFor8Bit) // Nor would the next hop on the way back take it.
            && LinesFit(request.Original.Span) && LinesFit(body.Span))
        {
            byte[] message = [.. original.Octets.Span, .. "\r\n"u8, .. body.Span, .. body.IsEmpty || body.Span.EndsWith("\r\n"u8) ? ""u8 : "\r\n"u8];
            bool header8Bit = !Ascii.IsValid(original.Octets.Span);
            bool is8Bit = header8Bit || !Ascii.IsValid(body.Span);
            string type = header8Bit && Utf8.IsValid(original.Octets.Span) ? "message/global" : "message/rfc822"; // RFC 6533 §6.
            return (Encoding.ASCII.GetBytes($"Content-Type: {type}\r\n{(is8Bit ? "Content-Transfer-Encoding: 8bit\r\n" : "")}"), message, is8Bit);
        }
        return HeaderAlone(original, request.MaxReturnedOctets, utf8 && !request.Recipients.Any(static r => r.IsFor8Bit));
    }

    internal static string FromField(string address) => $"From: Mail Delivery System <{address}>\r\n";

    /// <summary>The third part where the body is not returned.</summary>
    internal static (byte[] Headers, byte[] Content, bool Is8Bit) HeaderAlone(HeaderSection original, int maxOctets, bool utf8)
    {
        byte[] headers = WholeFields(original, maxOctets);
        if (Ascii.IsValid(headers) && LinesFit(headers))
            return ("Content-Type: text/rfc822-headers\r\n"u8.ToArray(), headers, false);
        if (utf8 && Utf8.IsValid(headers) && LinesFit(headers))
            return ("Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n"u8.ToArray(), headers, true);
        // RFC 6522 §4 allows this encoding for header sections that are not legal 7-bit text.
        string charset = !Ascii.IsValid(headers) && Utf8.IsValid(headers) ? "; charset=utf-8" : "";
        return (Encoding.ASCII.GetBytes($"Content-Type: text/rfc822-headers{charset}\r\nContent-Transfer-Encoding: quoted-printable\r\n"), QuotedPrintable.Encode(headers), false);
    }

    /// <summary>The fields up to the bound, none of them cut.</summary>
    private static byte[] WholeFields(HeaderSection original, int maxOctets)
    {
        int end = 0;
        foreach (ref readonly HeaderField field in original.Fields)
        {
            if (field.Start + field.Length > maxOctets)
                break;
            end = field.Start + field.Length;
        }
        return original.Octets.Span[..end].ToArray();
    }

    private static bool LinesFit(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            int end = text.IndexOf("\r\n"u8);
            if ((end < 0 ? text.Length : end) > MaxLineOctets)
                return false;
            text = end < 0 ? [] : text[(end + 2)..];
        }
        return true;
    }

    /// <summary>Lets mail programs show the report with the message it is about.</summary>
    private static string References(HeaderSection original)
    {
        if (!original.TryFind(FieldName.MessageId, out HeaderField field))
            return "";
        string id = HeaderText.Clean(HeaderText.Decode(original.ValueOf(field)), 255);
        return id.Length > 4 && id[0] == '<' && id[^1] == '>' && Ascii.IsValid(id) && !id.Contains(' ') ? $"References: {id}\r\n" : "";
    }

    private static string BoundaryFor(QueueId id, ReadOnlySpan<byte> content)
    {
        for (int i = 0; ; i++)
        {
            string boundary = $"=_{id}_{i}"; // "=_" occurs in no quoted-printable text.
            if (content.IndexOf(Encoding.ASCII.GetBytes(boundary)) < 0)
                return boundary;
        }
    }
}
