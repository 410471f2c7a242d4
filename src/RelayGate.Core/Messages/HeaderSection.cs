using System.Collections.Immutable;
using System.Text;
using System.Text.Unicode;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Messages;

/// <summary>A header section as received, cut into fields by one scan; every octet kept (RFC 5322 §2.2).</summary>
/// <remarks>
/// What is no field and no continuation makes the section malformed, and stays where it is. Two things are let pass: no header section at all
/// (the message begins with the empty line, or is empty), and one mbox separator on top, which <see cref="MessagePreparer"/> drops.
/// </remarks>
public sealed class HeaderSection
{
    private const int MaxTextOfFact = 200;
    private const int MaxMessageId = 255;

    private readonly HeaderField[] _fields;
    private readonly int _count;

    private HeaderSection(ReadOnlyMemory<byte> octets, HeaderField[] fields, int count, int bodyOffset, bool isMalformed)
    {
        Octets = octets;
        _fields = fields;
        _count = count;
        BodyOffset = bodyOffset;
        IsMalformed = isMalformed;
    }

    /// <summary>All fields, without the empty line that ends the section.</summary>
    public ReadOnlyMemory<byte> Octets { get; }

    /// <summary>The fields in their order; together they are exactly <see cref="Octets"/>.</summary>
    public ReadOnlySpan<HeaderField> Fields => _fields.AsSpan(0, _count);

    /// <summary>Where the body begins in what was scanned: after the empty line, or at the end if there was none.</summary>
    public int BodyOffset { get; }

    /// <summary>A line is neither field, continuation nor the empty line; or has a bare CR, a bare LF or NUL in it.</summary>
    public bool IsMalformed { get; }

    /// <summary>Scans the octets before the body. The empty line that ends the section may be included or missing; the scan ends with it.</summary>
    public static HeaderSection Parse(ReadOnlyMemory<byte> octets)
    {
        ReadOnlySpan<byte> span = octets.Span;
        var fields = new HeaderField[24];
        int count = 0;
        bool malformed = false;
        int position = 0;
        int end = span.Length;
        while (position < span.Length)
        {
            ReadOnlySpan<byte> rest = span[position..];
            if (rest.StartsWith("\r\n"u8))
            {
                end = position;
                position += 2;
                break;
            }
            int lineLength = LineLength(rest, ref malformed);
            if (count > 0 && rest[0] is (byte)' ' or (byte)'\t' && fields[count - 1].Name != FieldName.MboxSeparator)
            {
                fields[count - 1] = fields[count - 1] with { Length = fields[count - 1].Length + lineLength };
                position += lineLength;
                continue;
            }
            HeaderField field = ReadStart(rest[..lineLength], position);
            if (field.Name == FieldName.Malformed)
            {
                if (position == 0 && IsMboxSeparator(rest))
                    field = field with { Name = FieldName.MboxSeparator };
                else
                    malformed = true;
            }
            if (count == fields.Length)
                Array.Resize(ref fields, count * 2);
            fields[count++] = field;
            position += lineLength;
        }
        return new HeaderSection(octets[..end], fields, count, position, malformed);
    }

    /// <summary>The field with name, value, continuation lines and CRLF.</summary>
    public ReadOnlySpan<byte> OctetsOf(in HeaderField field) => Octets.Span.Slice(field.Start, field.Length);

    /// <summary>What stands after the colon, with leading blanks, folds and CRLF.</summary>
    public ReadOnlySpan<byte> ValueOf(in HeaderField field) => OctetsOf(field)[field.ValueOffset..];

    /// <summary>The first field of that name.</summary>
    public bool TryFind(FieldName name, out HeaderField field)
    {
        foreach (ref readonly HeaderField candidate in Fields)
        {
            if (candidate.Name == name)
            {
                field = candidate;
                return true;
            }
        }
        field = default;
        return false;
    }

    /// <summary>The facts of header section and body.</summary>
    /// <param name="totalOctets">Octets of header section and body.</param>
    /// <param name="body">What was seen of the body while it was read.</param>
    public MessageFacts ToFacts(long totalOctets, BodyFacts body)
    {
        int fromFields = 0;
        int received = 0;
        bool hasDate = false;
        bool isResent = false;
        bool isAuto = false;
        bool isList = false;
        int tlsRequired = 0;
        bool needsNoTls = false;
        bool is8Bit = false;
        string? messageId = null;
        string? script = null;
        string? subject = null;
        FromField from = FromField.None;
        FromField? sender = null;
        FromField? resentFrom = null;
        FromField? resentSender = null;
        string? senderText = null;
        foreach (ref readonly HeaderField field in Fields)
        {
            switch (field.Name)
            {
                case FieldName.From:
                    if (fromFields++ == 0)
                        from = FromField.Read(ValueOf(field));
                    break;
                case FieldName.Sender:
                    sender = senderText is null ? FromField.Read(ValueOf(field)) : FromField.None;
                    senderText ??= HeaderText.Clean(HeaderText.Decode(ValueOf(field)), MaxTextOfFact);
                    break;
                case FieldName.ResentFrom:
                    isResent = true;
                    resentFrom ??= FromField.Read(ValueOf(field));
                    break;
                case FieldName.ResentSender:
                    isResent = true;
                    resentSender ??= FromField.Read(ValueOf(field));
                    break;
                case FieldName.Received:
                    received++;
                    break;
                case FieldName.Date:
                    hasDate = true;
                    break;
                case FieldName.ResentBcc:
                    isResent = true;
                    continue;
                case FieldName.Bcc:
                    continue; // Dropped, so it cannot need SMTPUTF8.
                case FieldName.MessageId:
                    messageId ??= HeaderText.Clean(HeaderText.Decode(ValueOf(field)), MaxMessageId);
                    break;
                case FieldName.PhpOriginatingScript:
                    script ??= HeaderText.Clean(HeaderText.Decode(ValueOf(field)), MaxTextOfFact);
                    break;
                case >= FieldName.ResentDate and <= FieldName.ResentMessageId:
                    isResent = true;
                    break;
                case FieldName.AutoSubmitted:
                    isAuto = isAuto || !IsWord(ValueOf(field), "no"u8);
                    break;
                case FieldName.ListId:
                    isList = true;
                    break;
                case FieldName.Precedence:
                    isList = isList || IsWord(ValueOf(field), "list"u8);
                    break;
                case FieldName.TlsRequired:
                    needsNoTls = ++tlsRequired == 1 && IsWord(ValueOf(field), "no"u8);
                    break;
                case FieldName.Subject:
                    subject ??= HeaderText.Clean(EncodedWords.Decode(HeaderText.Decode(ValueOf(field))), MaxTextOfFact);
                    break;
            }
            is8Bit = is8Bit || !Ascii.IsValid(OctetsOf(field));
        }
        return new MessageFacts
        {
            Octets = totalOctets,
            FromFields = fromFields,
            From = from.Addresses,
            FromUnreadable = from.IsUnreadable,
            UnqualifiedFrom = from.Unqualified,
            Sender = Readable(sender),
            SenderText = senderText,
            ResentBy = Readable(resentSender ?? resentFrom),
            HasDate = hasDate,
            HasResentFields = isResent,
            IsAutoSubmitted = isAuto,
            IsFromList = isList,
            SaysTlsRequiredNo = needsNoTls,
            HasMessageId = messageId is { Length: > 0 },
            MessageId = messageId,
            ReceivedFields = received,
            HeaderNeedsUtf8 = is8Bit && Utf8.IsValid(Octets.Span),
            BodyIs8Bit = body.Is8Bit,
            LongestLine = Math.Max(body.LongestLine, LongestLine()),
            PhpScript = script,
            Subject = subject,
            HeaderIsMalformed = IsMalformed,
        };
    }

    /// <summary>Whether a value begins with a word, which ends it or stands before a comment or parameters.</summary>
    private static bool IsWord(ReadOnlySpan<byte> value, ReadOnlySpan<byte> word)
    {
        value = value.TrimStart(" \t\r\n"u8);
        return value.Length >= word.Length && Ascii.EqualsIgnoreCase(value[..word.Length], word)
            && (value.Length == word.Length || value[word.Length] is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)';' or (byte)'(');
    }

    private static ImmutableArray<MailboxAddress> Readable(FromField? field) => field is { IsUnreadable: false } ? field.Addresses : [];

    private int LongestLine()
    {
        int longest = 0;
        ReadOnlySpan<byte> rest = Octets.Span;
        while (!rest.IsEmpty)
        {
            int end = rest.IndexOf((byte)'\n');
            int length = end < 0 ? rest.Length : end + 1;
            longest = Math.Max(longest, end > 0 && rest[end - 1] == '\r' ? length - 2 : length);
            rest = rest[length..];
        }
        return longest;
    }

    /// <summary>Octets of the line with its CRLF. Only CRLF ends a line.</summary>
    private static int LineLength(ReadOnlySpan<byte> rest, ref bool malformed)
    {
        int length = 0;
        while (true)
        {
            int next = rest[length..].IndexOfAny((byte)'\r', (byte)'\n', (byte)0);
            if (next < 0)
                return rest.Length;
            length += next + 1;
            if (rest[length - 1] == '\r' && length < rest.Length && rest[length] == '\n')
                return length + 1;
            malformed = true;
        }
    }

    /// <summary>Reads name and colon: printable US-ASCII without colon (RFC 5322 §3.6.8), then perhaps blanks (§4.5).</summary>
    private static HeaderField ReadStart(ReadOnlySpan<byte> line, int start)
    {
        int name = line.IndexOfAnyExceptInRange((byte)'!', (byte)'~');
        int colon = line.IndexOf((byte)':');
        if (colon > 0 && (name < 0 || colon < name))
            return new HeaderField(FieldNames.Identify(line[..colon]), start, line.Length, colon, colon + 1);
        if (colon > 0 && name > 0 && line[name..colon].IndexOfAnyExcept((byte)' ', (byte)'\t') < 0)
            return new HeaderField(FieldNames.Identify(line[..name]), start, line.Length, name, colon + 1);
        return new HeaderField(FieldName.Malformed, start, line.Length, 0, 0);
    }

    private static bool IsMboxSeparator(ReadOnlySpan<byte> line) => line.StartsWith("From "u8) || line.StartsWith(">From "u8);
}

/// <summary>What is seen of a body while it is read.</summary>
/// <param name="LongestLine">Octets of its longest line without CRLF.</param>
public readonly record struct BodyFacts(bool Is8Bit, int LongestLine);
