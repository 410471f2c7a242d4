using System.Text;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Tls.Reports;

/// <summary>Writes a TLS report as mail: multipart/report; report-type=tlsrpt (RFC 8460 §5.3), ASCII on the wire. It is to be signed with DKIM.</summary>
public static class TlsReportMail
{
    private const int Columns = 76;

    public static string Subject(TlsReport report) => $"Report Domain: {report.Domain} Submitter: {report.Organization} Report-ID: <{report.Id}>";

    /// <param name="id">Its queue id.</param>
    /// <param name="packed">The report as <see cref="TlsReportJson.WriteGzip"/> gives it.</param>
    public static ComposedDsn Compose(QueueId id, TlsReport report, MailboxAddress from, MailboxAddress to, ReadOnlySpan<byte> packed, DateTimeOffset now)
    {
        string boundary = $"=_{id}"; // "=_" stands neither in base64 nor in the text.
        string toText = DsnComposer.AddressText(to);
        string header =
            $"From: RelayGate <{DsnComposer.AddressText(from)}>\r\n" +
            $"To: <{toText}>\r\n" +
            $"Subject: Report Domain: {report.Domain}\r\n Submitter: {report.Organization}\r\n Report-ID: <{report.Id}>\r\n" +
            $"Date: {MailDate.Format(now)}\r\n" +
            $"Message-ID: <{id}@{report.Organization}>\r\n" +
            $"TLS-Report-Domain: {report.Domain}\r\n" +
            $"TLS-Report-Submitter: {report.Organization}\r\n" +
            "TLS-Required: No\r\n" + // A report of failures must not fail by them (§5.3, RFC 8689 §5).
            "Auto-Submitted: auto-generated\r\n" +
            "MIME-Version: 1.0\r\n" +
            $"Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"\r\n\r\n";
        var body = new StringBuilder();
        body.Append($"--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
        body.Append($"This is a report of TLS connections to the mail servers of {report.Domain} (RFC 8460),\r\n");
        body.Append($"on {report.Day:yyyy-MM-dd} (UTC), made by {report.Organization}.\r\n\r\n");
        body.Append($"Successful sessions: {report.Successes}\r\nFailed sessions:     {report.Failures}\r\n");
        body.Append($"\r\n--{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n");
        body.Append($"Content-Disposition: attachment;\r\n filename=\"{report.FileName}\"\r\n\r\n");
        string base64 = Convert.ToBase64String(packed);
        for (int at = 0; at < base64.Length; at += Columns)
            body.Append(base64.AsSpan(at, Math.Min(Columns, base64.Length - at))).Append("\r\n");
        body.Append($"--{boundary}--\r\n");
        return new ComposedDsn(Encoding.UTF8.GetBytes(header), Encoding.ASCII.GetBytes(body.ToString()), HeaderNeedsUtf8: !Ascii.IsValid(toText), BodyIs8Bit: false);
    }
}
