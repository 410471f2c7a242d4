using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Sendmail;

/// <summary>The message as it is handed to the gateway, and the recipients that its header section names.</summary>
/// <remarks>
/// Left to the gateway: trace field, Date, Message-ID, and a From where no name is known for it. Done here, because only this program can know
/// it: where the header section of a careless script ends, the author's name, and that -t takes recipients from the header section.
/// </remarks>
internal sealed class OutgoingMessage
{
    private readonly InputMessage _input;
    private readonly ReadOnlyMemory<byte> _bodyStart;

    private OutgoingMessage(InputMessage input, byte[] header, ReadOnlyMemory<byte> bodyStart, List<string> recipients)
    {
        _input = input;
        _bodyStart = bodyStart;
        Header = header;
        Recipients = recipients;
    }

    /// <summary>With the empty line that ends it.</summary>
    public byte[] Header { get; }

    /// <summary>X-PHP-Originating-Script, or null.</summary>
    public string? PhpScript { get; private init; }

    /// <summary>For -t; else empty.</summary>
    public List<string> Recipients { get; }

    public long Octets => Header.Length + _bodyStart.Length + (_input.Rest?.Length ?? 0);

    public bool Is8Bit => _input.Is8Bit || !Ascii.IsValid(Header);

    /// <summary>Sends the body, dots doubled.</summary>
    public void WriteBody(GatewayConnection connection)
    {
        connection.WriteStuffed(_bodyStart.Span);
        if (_input.Rest is not { } rest)
            return;
        rest.Position = 0;
        byte[] piece = new byte[64 * 1024];
        int read;
        while ((read = rest.Read(piece, 0, piece.Length)) > 0)
            connection.WriteStuffed(piece.AsSpan(0, read));
    }

    /// <param name="fullName">For a missing From; null: it is left to the gateway.</param>
    /// <param name="author">Address for a missing From; the gateway completes it if it is a login name.</param>
    /// <exception cref="SendmailException">65: the header section is too large.</exception>
    public static OutgoingMessage Prepare(InputMessage input, bool takesRecipients, string? fullName, string author)
    {
        ReadOnlyMemory<byte> first = input.Start;
        HeaderSection header = HeaderSection.Parse(first);
        int bodyOffset = header.BodyOffset;
        if (header.IsMalformed)
        {
            // The first line that is no field begins the body, as with other sendmails: echo hello | sendmail root.
            foreach (HeaderField field in header.Fields)
            {
                if (field.Name != FieldName.Malformed)
                    continue;
                bodyOffset = field.Start;
                header = HeaderSection.Parse(first[..bodyOffset]);
                break;
            }
        }
        else if (bodyOffset == header.Octets.Length && input.Rest is not null)
        {
            throw new SendmailException(ExitCode.DataError, "the header section is larger than 1 MiB");
        }
        using var octets = new MemoryStream(header.Octets.Length + 256);
        if (fullName is not null && !header.TryFind(FieldName.From, out _))
            octets.Write(Encoding.UTF8.GetBytes($"From: {Phrase(fullName)} <{author}>\r\n"));
        bool isResent = HasResentFields(header);
        var recipients = new List<string>();
        foreach (HeaderField field in header.Fields)
        {
            if (takesRecipients && NamesRecipients(field.Name, isResent))
                recipients.AddRange(AddressList.Read(header.ValueOf(field)));
            bool drop = field.Name == FieldName.MboxSeparator || (takesRecipients && field.Name is FieldName.Bcc or FieldName.ResentBcc);
            if (!drop)
                octets.Write(header.OctetsOf(field));
        }
        octets.Write("\r\n"u8);
        return new OutgoingMessage(input, octets.ToArray(), first[bodyOffset..], recipients) { PhpScript = PhpScriptOf(header) };
    }

    private static string? PhpScriptOf(HeaderSection header) =>
        header.TryFind(FieldName.PhpOriginatingScript, out HeaderField field) ? Encoding.UTF8.GetString(header.ValueOf(field)).Trim() : null;

    /// <summary>As in Postfix, a message that is sent again goes to its Resent recipients alone (RFC 5322 §3.6.6).</summary>
    private static bool HasResentFields(HeaderSection header)
    {
        foreach (HeaderField field in header.Fields)
        {
            if (field.Name is FieldName.ResentTo or FieldName.ResentCc or FieldName.ResentBcc or FieldName.ResentFrom or FieldName.ResentDate)
                return true;
        }
        return false;
    }

    private static bool NamesRecipients(FieldName name, bool isResent) => isResent
        ? name is FieldName.ResentTo or FieldName.ResentCc or FieldName.ResentBcc
        : name is FieldName.To or FieldName.Cc or FieldName.Bcc;

    /// <summary>A display name: quoted string, or encoded words where it is not ASCII (RFC 5322 §3.2.5, RFC 2047).</summary>
    private static string Phrase(string name)
    {
        string clean = new([.. name.Where(static c => !char.IsControl(c)).Take(100)]);
        if (Ascii.IsValid(clean))
            return $"\"{clean.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
        var words = new StringBuilder();
        var word = new StringBuilder();
        foreach (Rune rune in clean.EnumerateRunes())
        {
            word.Append(rune);
            if (Encoding.UTF8.GetByteCount(word.ToString()) > 40) // 75 characters at most (RFC 2047 §2).
                EndWord();
        }
        if (word.Length > 0)
            EndWord();
        return words.ToString();

        void EndWord()
        {
            words.Append(words.Length > 0 ? "\r\n " : "").Append("=?utf-8?B?").Append(Convert.ToBase64String(Encoding.UTF8.GetBytes(word.ToString()))).Append("?=");
            word.Clear();
        }
    }
}
