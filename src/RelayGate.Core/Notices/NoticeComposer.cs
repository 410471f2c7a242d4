using System.Collections.Immutable;
using System.Text;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Notices;

/// <summary>What a mail of notices is made of.</summary>
/// <param name="Id">Its queue id.</param>
/// <param name="From">Of the header; the reverse-path is null.</param>
/// <param name="Notices">At least one; those that are listed.</param>
/// <param name="Omitted">How many more there are.</param>
/// <param name="IsForAdministrator">Whether to name commands that only administrators may give.</param>
public sealed record NoticeMail(
    QueueId Id, string Hostname, MailboxAddress From, MailboxAddress To, DateTimeOffset Now, ImmutableArray<KeptNotice> Notices, int Omitted, bool IsForAdministrator);

/// <summary>Writes notices as mail (RFC 5322): plain text, ASCII on the wire, marked as made by a machine (RFC 3834 §5), so that nothing answers it.</summary>
public static class NoticeComposer
{
    /// <summary>Notices that one mail lists at most.</summary>
    public const int MaxListed = 50;

    private const int MaxSubject = 150;

    public static ComposedDsn Compose(NoticeMail mail)
    {
        ImmutableArray<KeptNotice> notices = Sorted(mail);
        byte[] text = Encoding.UTF8.GetBytes(Text(mail, notices));
        bool isAscii = Ascii.IsValid(text);
        string from = DsnComposer.AddressText(mail.From), to = DsnComposer.AddressText(mail.To);
        string header =
            $"From: RelayGate <{from}>\r\n" +
            $"To: <{to}>\r\n" +
            $"Subject: {EncodedWords.Encode(Subject(mail))}\r\n" +
            $"Date: {MailDate.Format(mail.Now)}\r\n" +
            $"Message-ID: <{mail.Id}@{mail.Hostname}>\r\n" +
            "Auto-Submitted: auto-generated\r\n" +
            "X-Auto-Response-Suppress: All\r\n" +
            $"X-RelayGate-Notice: {string.Join(", ", notices.Select(static n => NoticeKinds.Word(n.Notice.Kind)).Distinct())}\r\n" +
            "MIME-Version: 1.0\r\n" +
            $"Content-Type: text/plain; charset={(isAscii ? "us-ascii" : "utf-8")}\r\n" +
            $"Content-Transfer-Encoding: {(isAscii ? "7bit" : "quoted-printable")}\r\n\r\n";
        return new ComposedDsn(
            Encoding.UTF8.GetBytes(header), isAscii ? text : QuotedPrintable.Encode(text), HeaderNeedsUtf8: !Ascii.IsValid(from) || !Ascii.IsValid(to), BodyIs8Bit: false);
    }

    /// <summary>One line that names the host and the weightiest of the notices: <c>[RelayGate relay.example.net] exceeded: domain shop.test, 200 of 200/h (+3 more)</c>.</summary>
    public static string Subject(NoticeMail mail)
    {
        int others = mail.Notices.Length - 1 + mail.Omitted;
        return HeaderText.Clean($"[RelayGate {mail.Hostname}] {NoticeText.Headline(Sorted(mail)[0].Notice)}", MaxSubject) + (others > 0 ? $" (+{others} more)" : "");
    }

    private static ImmutableArray<KeptNotice> Sorted(NoticeMail mail) =>
        [.. mail.Notices.OrderBy(static n => NoticeKinds.All.IndexOf(n.Notice.Kind)).ThenBy(static n => n.Id, StringComparer.Ordinal)];

    private static string Text(NoticeMail mail, ImmutableArray<KeptNotice> notices)
    {
        var text = new StringBuilder();
        foreach (KeptNotice kept in notices)
        {
            text.Append(NoticeText.Sentence(kept.Notice)).Append("\r\n\r\n");
            foreach ((string name, string value) in NoticeText.Facts(kept))
                Line(text, name, value);
            if ((mail.IsForAdministrator ? NoticeText.More(kept.Notice) : NoticeText.MoreForOwner(kept)) is { } more)
                Line(text, "More", more);
            if (mail.IsForAdministrator && NoticeText.Stop(kept.Notice) is { } stop)
                Line(text, kept.Notice.Kind == NoticeKind.Suspended ? "Undo" : "Stop it", stop);
            text.Append("\r\n\r\n");
        }
        if (mail.Omitted > 0)
            text.Append($"{mail.Omitted} more: relaygate notice list\r\n\r\n\r\n");
        text.Append("-- \r\n").Append($"RelayGate on {mail.Hostname}. ");
        text.Append(mail.IsForAdministrator
            ? "All notices: relaygate notice list. Who is told of what: RelayGate:Notices in the settings.\r\n"
            : "You are the contact of this subscription; ask the administrator to change that.\r\n");
        return text.ToString();
    }

    private static void Line(StringBuilder text, string name, string value) =>
        text.Append("  ").Append((name + ":").PadRight(15)).Append(value).Append("\r\n");
}
