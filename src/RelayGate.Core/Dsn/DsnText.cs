using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Dsn;

/// <summary>The part of a report that people read: what happened to which recipient, in whose words, and what to do now.</summary>
internal static class DsnText
{
    private const int Columns = 74;
    private const int MaxDiagnostic = 1000;

    private static readonly DsnAction[] Order = [DsnAction.Failed, DsnAction.Delayed, DsnAction.Relayed, DsnAction.Delivered];

    public static string Subject(DsnRequest request)
    {
        DsnAction worst = Order.First(action => request.Recipients.Any(r => r.Action == action));
        return worst switch
        {
            DsnAction.Failed => "Undelivered mail: your message could not be delivered",
            DsnAction.Delayed => "Delayed mail: your message is still being tried",
            _ => "Delivery report: your message was handed on",
        };
    }

    public static byte[] Write(DsnRequest request, HeaderSection original)
    {
        var text = new StringBuilder();
        foreach (DsnAction action in Order)
        {
            DsnRecipient[] recipients = [.. request.Recipients.Where(r => r.Action == action)];
            if (recipients.Length == 0)
                continue;
            Wrap(text, Heading(action), "");
            text.Append("\r\n");
            foreach (DsnRecipient recipient in recipients)
                WriteRecipient(text, recipient, request.ReportingMta, !Ascii.IsValid(original.Octets.Span));
        }
        WriteAboutMessage(text, request, original);
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>A reply of a next hop is anybody's text: one line of bounded length without control characters.</summary>
    public static string CleanDiagnostic(string text) => HeaderText.Clean(text, MaxDiagnostic);

    private static string Heading(DsnAction action) => action switch
    {
        DsnAction.Failed => "Your message could not be delivered to the recipients below. It will not be tried again for them.",
        DsnAction.Delayed => "Your message has not been delivered yet to the recipients below. It is being tried again; you need not send it again.",
        DsnAction.Relayed => "Your message was handed to a mail server that does not report on delivery, for the recipients below.",
        _ => "Your message was delivered to the mail server of the recipients below.",
    };

    private static void WriteRecipient(StringBuilder text, DsnRecipient recipient, string administrator, bool hasUtf8Header)
    {
        Wrap(text, recipient.ForwardPath.Text, "  ");
        bool isRefused = recipient.Action is DsnAction.Failed or DsnAction.Delayed;
        DsnAdvice.Words words = isRefused ? DsnAdvice.Of(recipient, administrator, hasUtf8Header) : default;
        if (isRefused)
            Wrap(text, words.Why, "    ");
        string diagnostic = CleanDiagnostic(recipient.Diagnostic);
        if (diagnostic.Length > 0)
            Wrap(text, recipient.RemoteMta is { } remote ? $"The mail server {HeaderText.Clean(remote, 255)} said: {diagnostic}" : diagnostic, "    ");
        if (recipient.Action == DsnAction.Failed)
            Wrap(text, $"What you can do: {words.ToDo}", "    ");
        if (recipient is { Action: DsnAction.Delayed, WillRetryUntil: { } until })
            Wrap(text, $"It will be tried until {MailDate.Format(until)}.", "    ");
        text.Append("\r\n");
    }

    private static void WriteAboutMessage(StringBuilder text, DsnRequest request, HeaderSection original)
    {
        string? subject = original.TryFind(FieldName.Subject, out HeaderField field)
            ? HeaderText.Clean(EncodedWords.Decode(HeaderText.Decode(original.ValueOf(field))), 200)
            : null;
        if (!string.IsNullOrEmpty(subject))
            Wrap(text, $"Subject: {subject}", "");
        Wrap(text, $"Accepted: {MailDate.Format(request.ArrivedAt)}", "");
        Wrap(text, $"Reference: {request.OriginalId} (name it when you ask the administrator of {request.ReportingMta} for help)", "");
    }

    /// <summary>Writes one paragraph, broken at blanks; a word longer than a line is cut.</summary>
    private static void Wrap(StringBuilder text, string paragraph, string indent)
    {
        ReadOnlySpan<char> rest = paragraph;
        while (!rest.IsEmpty)
        {
            int width = Columns - indent.Length;
            int take = rest.Length;
            int skip = 0;
            if (take > width)
            {
                int blank = rest[..(width + 1)].LastIndexOf(' ');
                take = blank > 0 ? blank : width;
                skip = blank > 0 ? 1 : 0;
                if (char.IsHighSurrogate(rest[take - 1]))
                    take--;
            }
            text.Append(indent).Append(rest[..take]).Append("\r\n");
            rest = rest[(take + skip)..];
        }
    }
}
