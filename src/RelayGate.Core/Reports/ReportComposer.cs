using System.Text;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Reports;

/// <summary>What a mail with a report is made of.</summary>
/// <param name="Id">Its queue id.</param>
/// <param name="From">Of the header; the reverse-path is null.</param>
/// <param name="WithCsv">The report is attached as CSV as well.</param>
public sealed record ReportMail(QueueId Id, string Hostname, MailboxAddress From, MailboxAddress To, DateTimeOffset Now, Report Report, bool WithCsv);

/// <summary>Writes a report as mail: text and HTML of the same figures (RFC 2046 §5.1.4), marked as made by a machine (RFC 3834 §5).</summary>
public static class ReportComposer
{
    private const int MaxSubject = 150;

    public static string Subject(ReportMail mail) => HeaderText.Clean(
        $"[RelayGate {mail.Hostname}] report of one {mail.Report.Period.Word()} to {ReportWords.Time(mail.Report.End)} UTC: {ReportWords.Object(mail.Report)}, {ReportWords.Number(mail.Report.Totals.Rows[0].Messages)} sent",
        MaxSubject);

    public static ComposedDsn Compose(ReportMail mail)
    {
        string from = DsnComposer.AddressText(mail.From), to = DsnComposer.AddressText(mail.To);
        string outer = $"=_{mail.Id}_1", inner = $"=_{mail.Id}_2"; // "=_" stands in no quoted-printable text (RFC 2045 §6.7).
        string header =
            $"From: RelayGate <{from}>\r\n" +
            $"To: <{to}>\r\n" +
            $"Subject: {EncodedWords.Encode(Subject(mail))}\r\n" +
            $"Date: {MailDate.Format(mail.Now)}\r\n" +
            $"Message-ID: <{mail.Id}@{mail.Hostname}>\r\n" +
            "Auto-Submitted: auto-generated\r\n" +
            "X-Auto-Response-Suppress: All\r\n" +
            $"X-RelayGate-Report: {mail.Report.Period.Word()}\r\n" +
            "MIME-Version: 1.0\r\n" +
            $"Content-Type: multipart/{(mail.WithCsv ? "mixed" : "alternative")};\r\n boundary=\"{(mail.WithCsv ? outer : inner)}\"\r\n\r\n";
        using var body = new OctetWriter(64 * 1024);
        if (mail.WithCsv)
            body.Write(Encoding.ASCII.GetBytes($"--{outer}\r\nContent-Type: multipart/alternative;\r\n boundary=\"{inner}\"\r\n\r\n"));
        Part(body, inner, "text/plain; charset=utf-8", "", ReportText.Write(mail.Report) + Footer(mail));
        Part(body, inner, "text/html; charset=utf-8", "", ReportHtml.Write(mail.Report));
        body.Write(Encoding.ASCII.GetBytes($"--{inner}--\r\n"));
        if (mail.WithCsv)
        {
            Part(body, outer, "text/csv; charset=utf-8; header=present", "Content-Disposition: attachment; filename=\"relaygate-report.csv\"\r\n", ReportCsv.Write(mail.Report));
            body.Write(Encoding.ASCII.GetBytes($"--{outer}--\r\n"));
        }
        return new ComposedDsn(Encoding.UTF8.GetBytes(header), body.ToArray(), HeaderNeedsUtf8: !Ascii.IsValid(from) || !Ascii.IsValid(to), BodyIs8Bit: false);
    }

    private static string Footer(ReportMail mail) => $"\n-- \nRelayGate on {mail.Hostname}. Reports that are sent: relaygate report schedule list\n";

    private static void Part(OctetWriter body, string boundary, string type, string fields, string content)
    {
        body.Write(Encoding.ASCII.GetBytes($"--{boundary}\r\nContent-Type: {type}\r\nContent-Transfer-Encoding: quoted-printable\r\n{fields}\r\n"));
        body.Write(QuotedPrintable.Encode(Encoding.UTF8.GetBytes(content.ReplaceLineEndings("\r\n"))));
        body.Write("\r\n"u8);
    }
}
