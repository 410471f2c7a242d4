using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Messages;

/// <summary>Makes the new header section: trace field, missing Date, Message-ID and From, no Bcc, signatures last (DESIGN §4, step 6).</summary>
/// <remarks>Everything that is not named in <see cref="PreparedHeader.Changes"/> stays byte for byte and in its order (RFC 6409 §8).</remarks>
public static class MessagePreparer
{
    /// <param name="relaxedBodyHash">SHA-256 of the relaxed canonical body; asked for only if there are keys to sign with.</param>
    /// <returns>The header section with the empty line that ends it, and what changed: <c>+Received</c>, <c>-Bcc</c>, <c>+DKIM-Signature d=… s=…</c>.</returns>
    public static PreparedHeader Prepare(HeaderSection header, Decision decision, TraceField trace, Func<byte[]> relaxedBodyHash)
    {
        var changes = new HeaderChanges();
        changes.Add("+Received");
        using var section = new OctetWriter(header.Octets.Length + 1024);
        section.Write(trace.Format());
        AddMissing(section, header, decision, trace, changes, out string? domainToAdd, out bool hasNewId);
        CopyFields(section, header, decision.HeaderFrom, domainToAdd, hasNewId, changes);

        if (decision.SigningKeys.IsDefaultOrEmpty)
            return Finish(section, signatures: [], changes);
        HeaderSection signed = HeaderSection.Parse(section.ToArray());
        if (!DkimSigner.CanSign(signed))
            return Finish(section, signatures: [], changes);
        byte[] bodyHash = relaxedBodyHash();
        using var signatures = new OctetWriter(1024 * decision.SigningKeys.Length);
        foreach (DkimKey key in decision.SigningKeys)
        {
            signatures.Write(DkimSigner.Sign(signed, key, bodyHash, trace.At));
            changes.Add($"+DKIM-Signature d={key.Domain} s={key.Selector}");
        }
        return Finish(section, signatures.Written, changes);
    }

    /// <summary>
    /// The author that <see cref="Prepare"/> writes where the header section names none, only a local part, or one that the policy replaces; null
    /// where it stays as it is. His domain signs, so accounts are to be looked up for him.
    /// </summary>
    public static MailboxAddress? WrittenAuthor(MessageFacts facts, Decision decision)
    {
        if (decision.HeaderFrom is { Mode: HeaderFromMode.Rewrite } treatment)
            return treatment.Address;
        return (facts.FromFields == 0 || facts.UnqualifiedFrom is not null) && decision.ReversePath.Address is { IsUnqualified: false } address ? address : null;
    }

    /// <summary>The author of the message as it leaves: the written one, else the first of its own; null where there is no address.</summary>
    public static MailboxAddress? AuthorOf(MessageFacts facts, Decision decision) =>
        WrittenAuthor(facts, decision) ?? (facts.From is [var first, ..] ? first : null);

    private static PreparedHeader Finish(OctetWriter section, ReadOnlySpan<byte> signatures, HeaderChanges changes) =>
        new([.. signatures, .. section.Written, .. "\r\n"u8], changes.ToList());

    private static void AddMissing(
        OctetWriter section, HeaderSection header, Decision decision, TraceField trace, HeaderChanges changes, out string? domainToAdd, out bool hasNewId)
    {
        domainToAdd = null; // To an unqualified From.
        Domain? fromDomain = null;
        if (header.TryFind(FieldName.From, out HeaderField from))
        {
            FromField read = FromField.Read(header.ValueOf(from));
            if (decision.HeaderFrom is { Mode: HeaderFromMode.Rewrite } rewritten)
            {
                fromDomain = rewritten.Address.Domain;
                if (!header.TryFind(FieldName.ReplyTo, out _) && !read.IsUnqualified)
                    AddReplyTo(section, header.ValueOf(from), changes);
            }
            else if (read.IsUnqualified)
                domainToAdd = decision.ReversePath.Address?.Domain?.Value ?? trace.By;
            else if (!read.Addresses.IsEmpty)
                fromDomain = read.Addresses[0].Domain;
        }
        else
        {
            ReversePath author = decision.HeaderFrom is { } added ? new ReversePath(added.Address) : decision.ReversePath;
            section.Write($"From: <{FromToAdd(author, trace.By)}>\r\n");
            changes.Add("+From");
            fromDomain = author.Address?.Domain;
        }
        if (decision.HeaderFrom is { Mode: HeaderFromMode.Sender } sender && !header.TryFind(FieldName.Sender, out _))
        {
            section.Write($"Sender: <{sender.Address.Text}>\r\n");
            changes.Add("+Sender");
        }
        if (!header.TryFind(FieldName.Date, out _))
        {
            section.Write($"Date: {MailDate.Format(trace.At)}\r\n");
            changes.Add("+Date");
        }
        hasNewId = !header.TryFind(FieldName.MessageId, out HeaderField messageId) || header.ValueOf(messageId).Trim(" \t\r\n"u8).IsEmpty;
        if (hasNewId)
        {
            section.Write($"Message-ID: <{trace.Id}@{fromDomain?.Value ?? domainToAdd ?? trace.By}>\r\n");
            changes.Add("+Message-ID");
        }
    }

    /// <summary>The reverse-path, its domain as A-labels where that spares SMTPUTF8; for the null reverse-path the name that notifications have.</summary>
    private static string FromToAdd(ReversePath reversePath, string hostname)
    {
        if (reversePath.Address is not { } address)
            return $"MAILER-DAEMON@{hostname}";
        return address.Domain is { } domain ? $"{address.LocalPart}@{domain}" : address.IsUnqualified ? $"{address.Text}@{hostname}" : address.Text;
    }

    /// <summary>Answers go where they went before: the value as it was, which may be a list or a group (RFC 5322 §3.6.2).</summary>
    private static void AddReplyTo(OctetWriter section, ReadOnlySpan<byte> from, HeaderChanges changes)
    {
        const int MaxLine = 998;
        int lineEnd = from.IndexOf((byte)'\n');
        section.Write("Reply-To:"u8);
        if ("Reply-To:".Length + (lineEnd < 0 ? from.Length : lineEnd - 1) > MaxLine)
            section.Write("\r\n "u8);
        section.Write(from);
        if (!from.EndsWith("\r\n"u8))
            section.Write("\r\n"u8);
        changes.Add("+Reply-To");
    }

    private static void CopyFields(
        OctetWriter section, HeaderSection header, HeaderFromTreatment? treatment, string? domainToAdd, bool hasNewId, HeaderChanges changes)
    {
        int copiedTo = 0; // Fields that stay are copied in runs.
        ReadOnlySpan<byte> octets = header.Octets.Span;
        bool isFirstFrom = true;
        bool isFirstSender = true;
        foreach (ref readonly HeaderField field in header.Fields)
        {
            bool drop = field.Name is FieldName.Bcc or FieldName.ResentBcc or FieldName.MboxSeparator
                || (hasNewId && field.Name == FieldName.MessageId);
            bool replace = treatment is not null && field.Name == (treatment.Mode == HeaderFromMode.Rewrite ? FieldName.From : FieldName.Sender);
            bool qualify = field.Name == FieldName.From && domainToAdd is not null && isFirstFrom;
            if (replace && field.Name == FieldName.Sender)
            {
                (replace, drop) = (isFirstSender, !isFirstSender);
                isFirstSender = false;
            }
            isFirstFrom &= field.Name != FieldName.From;
            if (!drop && !replace && !qualify && !field.HasBlankBeforeColon)
                continue;
            section.Write(octets[copiedTo..field.Start]);
            copiedTo = field.Start + field.Length;
            if (drop)
            {
                changes.Add(field.Name == FieldName.MboxSeparator ? "-mbox separator" : $"-{field.Name.Spelling()}");
                continue;
            }
            ReadOnlySpan<byte> name = octets.Slice(field.Start, field.NameLength);
            ReadOnlySpan<byte> value = header.ValueOf(field);
            if (replace)
            {
                bool isNameKept = true;
                section.Write(name);
                section.Write((byte)':');
                section.Write(field.Name == FieldName.From
                    ? AuthorName.Rewrite(value, treatment!.Address.Text, out isNameKept)
                    : System.Text.Encoding.UTF8.GetBytes($" <{treatment!.Address.Text}>"));
                if (value.EndsWith("\r\n"u8)) // Else it is the last one, and gets its end below.
                    section.Write("\r\n"u8);
                changes.Add(isNameKept ? $"~{System.Text.Encoding.ASCII.GetString(name)}" : $"~{System.Text.Encoding.ASCII.GetString(name)} (without its name)");
                continue;
            }
            int cut = qualify ? FromField.Read(value).UnqualifiedEnd : 0;
            section.Write(name);
            section.Write((byte)':');
            section.Write(value[..cut]);
            if (qualify)
                section.Write($"@{domainToAdd}");
            section.Write(value[cut..]);
            changes.Add($"~{System.Text.Encoding.ASCII.GetString(name)}");
        }
        section.Write(octets[copiedTo..]);
        if (octets.Length > 0 && !octets.EndsWith("\r\n"u8))
            section.Write("\r\n"u8);
    }
}

/// <param name="Octets">The header section with the empty line that ends it.</param>
/// <param name="Changes"><c>+</c> added, <c>-</c> dropped, <c>~</c> replaced.</param>
public sealed record PreparedHeader(byte[] Octets, IReadOnlyList<string> Changes);
