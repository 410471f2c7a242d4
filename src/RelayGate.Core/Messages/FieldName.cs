using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>The header fields that are told apart. Those from <see cref="From"/> to <see cref="FeedbackId"/> are signed, in this order.</summary>
public enum FieldName : byte
{
    Other,

    /// <summary>A line that is neither field, continuation nor the empty line.</summary>
    Malformed,

    /// <summary>The separator line of an mbox file ("From …" without a colon after the name) on top of the section.</summary>
    MboxSeparator,

    // Signed where present (RFC 6376 §5.4.1, with the MIME fields and those that large receivers want covered: RFC 8058 §4).
    From,
    Sender,
    ReplyTo,
    Subject,
    Date,
    MessageId,
    To,
    Cc,
    InReplyTo,
    References,
    ResentFrom,
    ResentSender,
    ResentDate,
    ResentTo,
    ResentCc,
    ResentMessageId,
    MimeVersion,
    ContentType,
    ContentTransferEncoding,
    ContentDisposition,
    ContentId,
    ContentDescription,
    ContentLanguage,
    ListId,
    ListHelp,
    ListUnsubscribe,
    ListUnsubscribePost,
    ListSubscribe,
    ListPost,
    ListOwner,
    ListArchive,
    AutoSubmitted,
    FeedbackId,

    // Not signed: changed or dropped on the way (RFC 6376 §5.4).
    Bcc,
    ResentBcc,
    Received,
    ReturnPath,
    DkimSignature,
    PhpOriginatingScript,
    Precedence,

    /// <summary>Whether TLS policies are to be enforced (RFC 8689 §5).</summary>
    TlsRequired,
}

/// <summary>Knows the spelling of each <see cref="FieldName"/>.</summary>
public static class FieldNames
{
    private const int LongestName = 26;

    private static readonly string[] Spellings = MakeSpellings();
    private static readonly byte[][] LowerCase = Array.ConvertAll(Spellings, static spelling => Encoding.ASCII.GetBytes(spelling.ToLowerInvariant()));
    private static readonly FieldName[][] ByLength = MakeByLength();

    /// <summary>The usual spelling; empty for what has no name of its own.</summary>
    public static string Spelling(this FieldName name) => Spellings[(int)name];

    /// <summary>Whether signatures cover every field of this name.</summary>
    public static bool IsSigned(this FieldName name) => name is >= FieldName.From and <= FieldName.FeedbackId;

    /// <summary>The name in lower case, as relaxed canonicalisation wants it.</summary>
    internal static ReadOnlySpan<byte> LowerCaseOf(FieldName name) => LowerCase[(int)name];

    /// <summary>Finds the name, whatever its case.</summary>
    internal static FieldName Identify(ReadOnlySpan<byte> name)
    {
        if (name.Length > LongestName)
            return FieldName.Other;
        foreach (FieldName candidate in ByLength[name.Length])
        {
            if (Ascii.EqualsIgnoreCase(name, LowerCase[(int)candidate]))
                return candidate;
        }
        return FieldName.Other;
    }

    private static string[] MakeSpellings()
    {
        string[] spellings = new string[Enum.GetValues<FieldName>().Length];
        foreach (FieldName name in Enum.GetValues<FieldName>())
        {
            spellings[(int)name] = name switch
            {
                FieldName.Other or FieldName.Malformed or FieldName.MboxSeparator => "",
                FieldName.MessageId => "Message-ID",
                FieldName.ResentMessageId => "Resent-Message-ID",
                FieldName.MimeVersion => "MIME-Version",
                FieldName.DkimSignature => "DKIM-Signature",
                FieldName.TlsRequired => "TLS-Required",
                FieldName.PhpOriginatingScript => "X-PHP-Originating-Script",
                _ => Hyphenate(name.ToString()),
            };
        }
        return spellings;
    }

    private static string Hyphenate(string words)
    {
        var text = new StringBuilder(words.Length + 4);
        foreach (char c in words)
        {
            if (char.IsAsciiLetterUpper(c) && text.Length > 0)
                text.Append('-');
            text.Append(c);
        }
        return text.ToString();
    }

    private static FieldName[][] MakeByLength()
    {
        var byLength = new FieldName[LongestName + 1][];
        for (int length = 0; length <= LongestName; length++)
        {
            byLength[length] = [.. Enum.GetValues<FieldName>()
                .Where(name => length > 0 && LowerCase[(int)name].Length == length)];
        }
        return byLength;
    }
}
