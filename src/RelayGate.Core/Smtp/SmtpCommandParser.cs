using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Smtp;

/// <summary>Reads command lines by the grammar of RFC 5321 §4.1, on octets, and nothing looser: what is accepted may be sent on unchanged.</summary>
/// <remarks>The two liberties every peer takes: blanks after "FROM:" and "TO:", and blanks at the end of a line (§4.1.1).</remarks>
public static class SmtpCommandParser
{
    private const int MaxHelloOctets = 255; // RFC 5321 §4.5.3.1.2.
    private const int MaxMechanismOctets = 20; // RFC 4422 §3.1.

    private static readonly SmtpSyntaxError Unknown = Error("500 5.5.1 Command unknown");
    private static readonly SmtpSyntaxError ControlCharacter = Error("500 5.5.2 Control characters are not allowed in commands");
    private static readonly SmtpSyntaxError NotUtf8 = Error("500 5.5.2 Neither ASCII nor UTF-8");
    private static readonly SmtpSyntaxError NoArguments = Error("501 5.5.4 This command takes no arguments");
    private static readonly SmtpSyntaxError HelloSyntax = Error("501 5.5.4 Syntax: EHLO name");
    private static readonly SmtpSyntaxError MailSyntax = Error("501 5.5.4 Syntax: MAIL FROM:<address> [parameters]");
    private static readonly SmtpSyntaxError RcptSyntax = Error("501 5.5.4 Syntax: RCPT TO:<address> [parameters]");
    private static readonly SmtpSyntaxError AuthSyntax = Error("501 5.5.4 Syntax: AUTH mechanism [initial-response]");
    private static readonly SmtpSyntaxError ClaimSyntax = Error("501 5.5.4 Syntax: XCLAIM KEYWORD=xtext, at most 255 octets each");
    private static readonly SmtpSyntaxError BdatSyntax = new(SmtpReply.Parse("501 5.5.4 Syntax: BDAT octets [LAST]"), MustClose: true);
    private static readonly SmtpSyntaxError BadReversePath = Error("501 5.1.7 Not a valid reverse-path");
    private static readonly SmtpSyntaxError BadForwardPath = Error("501 5.1.3 Not a valid forward-path");
    private static readonly SmtpSyntaxError Utf8NotAsked = Error("553 5.6.7 A non-ASCII address needs the SMTPUTF8 parameter");
    private const int MaxAddressShown = 100; // The reply stays below 200 characters.

    private static readonly PlainCommand Data = new(SmtpVerb.Data);
    private static readonly PlainCommand Rset = new(SmtpVerb.Rset);
    private static readonly PlainCommand Vrfy = new(SmtpVerb.Vrfy);
    private static readonly PlainCommand Expn = new(SmtpVerb.Expn);
    private static readonly PlainCommand Help = new(SmtpVerb.Help);
    private static readonly PlainCommand Noop = new(SmtpVerb.Noop);
    private static readonly PlainCommand Quit = new(SmtpVerb.Quit);
    private static readonly PlainCommand StartTls = new(SmtpVerb.StartTls);

    /// <summary>Reads one line. Never throws, whatever the octets.</summary>
    /// <param name="line">Without its CRLF.</param>
    /// <param name="isLocal">On the unix socket: addresses without a domain are read, and XCLAIM is known.</param>
    /// <returns>Whether <paramref name="command"/> was read; otherwise <paramref name="error"/> says what to answer.</returns>
    public static bool TryParse(
        ReadOnlySpan<byte> line, bool isLocal, [NotNullWhen(true)] out SmtpCommand? command, [NotNullWhen(false)] out SmtpSyntaxError? error)
    {
        line = line.TrimEnd(" \t"u8);
        command = null;
        int space = line.IndexOf((byte)' ');
        ReadOnlySpan<byte> word = space < 0 ? line : line[..space];
        ReadOnlySpan<byte> rest = space < 0 ? [] : line[space..].TrimStart((byte)' ');
        if (!TryReadVerb(word, out SmtpVerb verb) || (verb == SmtpVerb.XClaim && !isLocal))
            error = Unknown;
        else if (HasControls(line))
            error = verb == SmtpVerb.Bdat ? BdatSyntax : ControlCharacter;
        else
        {
            error = verb switch
            {
                SmtpVerb.Mail => ParseMail(rest, isLocal, out command),
                SmtpVerb.Rcpt => ParseRcpt(rest, isLocal, out command),
                SmtpVerb.Bdat => ParseBdat(rest, out command),
                SmtpVerb.Auth => ParseAuth(rest, out command),
                SmtpVerb.Helo or SmtpVerb.Ehlo => ParseHello(verb, rest, out command),
                SmtpVerb.XClaim => ParseClaims(rest, out command),
                SmtpVerb.Data => ParsePlain(Data, rest, out command),
                SmtpVerb.Rset => ParsePlain(Rset, rest, out command),
                SmtpVerb.Quit => ParsePlain(Quit, rest, out command),
                SmtpVerb.StartTls => ParsePlain(StartTls, rest, out command),
                SmtpVerb.Noop => ParsePlain(Noop, [], out command), // RFC 5321 §4.1.1.9: a parameter is ignored.
                SmtpVerb.Help => ParsePlain(Help, [], out command),
                SmtpVerb.Vrfy => ParsePlain(Vrfy, [], out command),
                _ => ParsePlain(Expn, [], out command),
            };
        }
        return error is null;
    }

    private static bool TryReadVerb(ReadOnlySpan<byte> word, out SmtpVerb verb)
    {
        (verb, bool known) = word.Length switch
        {
            4 when Is(word, "MAIL"u8) => (SmtpVerb.Mail, true),
            4 when Is(word, "RCPT"u8) => (SmtpVerb.Rcpt, true),
            4 when Is(word, "DATA"u8) => (SmtpVerb.Data, true),
            4 when Is(word, "BDAT"u8) => (SmtpVerb.Bdat, true),
            4 when Is(word, "EHLO"u8) => (SmtpVerb.Ehlo, true),
            4 when Is(word, "HELO"u8) => (SmtpVerb.Helo, true),
            4 when Is(word, "RSET"u8) => (SmtpVerb.Rset, true),
            4 when Is(word, "QUIT"u8) => (SmtpVerb.Quit, true),
            4 when Is(word, "AUTH"u8) => (SmtpVerb.Auth, true),
            4 when Is(word, "NOOP"u8) => (SmtpVerb.Noop, true),
            4 when Is(word, "VRFY"u8) => (SmtpVerb.Vrfy, true),
            4 when Is(word, "EXPN"u8) => (SmtpVerb.Expn, true),
            4 when Is(word, "HELP"u8) => (SmtpVerb.Help, true),
            6 when Is(word, "XCLAIM"u8) => (SmtpVerb.XClaim, true),
            8 when Is(word, "STARTTLS"u8) => (SmtpVerb.StartTls, true),
            _ => (default, false),
        };
        return known;
    }

    private static SmtpSyntaxError? ParsePlain(PlainCommand plain, ReadOnlySpan<byte> rest, out SmtpCommand? command)
    {
        command = rest.IsEmpty ? plain : null;
        return rest.IsEmpty ? null : NoArguments;
    }

    private static SmtpSyntaxError? ParseHello(SmtpVerb verb, ReadOnlySpan<byte> rest, out SmtpCommand? command)
    {
        command = null;
        if (rest.Length is 0 or > MaxHelloOctets)
            return HelloSyntax;
        if (!TryDecode(rest, out string name))
            return NotUtf8;
        foreach (char c in name)
        {
            if (char.IsControl(c))
                return ControlCharacter;
        }
        command = new HelloCommand(verb, name);
        return null;
    }

    private static SmtpSyntaxError? ParseMail(ReadOnlySpan<byte> rest, bool allowUnqualified, out SmtpCommand? command)
    {
        command = null;
        if (!TryTakePath(ref rest, "FROM:"u8, out ReadOnlySpan<byte> path))
            return MailSyntax;
        ReversePath? reversePath = ReversePath.Null;
        if (!path.IsEmpty)
        {
            if (ReadAddress(path, out MailboxAddress? address) is { } fault)
                return ReferenceEquals(fault, BadForwardPath) ? BadReversePath : fault;
            if (address!.IsUnqualified && !allowUnqualified)
                return NotQualified("501 5.1.7", "reverse-path", address);
            reversePath = new ReversePath(address);
        }
        var mail = new MailCommand(reversePath);
        if (!rest.IsEmpty && SmtpParameters.ReadMail(rest, ref mail) is { } wrong)
            return wrong;
        if (!mail.SmtpUtf8 && reversePath.Address is { IsAscii: false })
            return Utf8NotAsked;
        command = mail;
        return null;
    }

    private static SmtpSyntaxError? ParseRcpt(ReadOnlySpan<byte> rest, bool allowUnqualified, out SmtpCommand? command)
    {
        command = null;
        if (!TryTakePath(ref rest, "TO:"u8, out ReadOnlySpan<byte> path))
            return RcptSyntax;
        if (path.IsEmpty)
            return BadForwardPath;
        if (ReadAddress(path, out MailboxAddress? address) is { } fault)
            return fault;
        if (address!.IsUnqualified && !allowUnqualified)
            return NotQualified("501 5.1.3", "forward-path", address);
        var rcpt = new RcptCommand(new ForwardPath(address));
        if (!rest.IsEmpty && SmtpParameters.ReadRcpt(rest, ref rcpt) is { } wrong)
            return wrong;
        command = rcpt;
        return null;
    }

    private static SmtpSyntaxError? ParseBdat(ReadOnlySpan<byte> rest, out SmtpCommand? command)
    {
        command = null;
        int space = rest.IndexOf((byte)' ');
        ReadOnlySpan<byte> last = space < 0 ? [] : rest[space..].TrimStart((byte)' ');
        if (!TryReadNumber(space < 0 ? rest : rest[..space], out long octets) || (!last.IsEmpty && !Is(last, "LAST"u8)))
            return BdatSyntax;
        command = new BdatCommand(octets, !last.IsEmpty);
        return null;
    }

    /// <summary>Keywords that are not known are passed over: a later program may claim more.</summary>
    private static SmtpSyntaxError? ParseClaims(ReadOnlySpan<byte> rest, out SmtpCommand? command)
    {
        command = null;
        var claims = new SenderClaims();
        while (!rest.IsEmpty)
        {
            int space = rest.IndexOf((byte)' ');
            ReadOnlySpan<byte> claim = space < 0 ? rest : rest[..space];
            rest = space < 0 ? [] : rest[space..].TrimStart((byte)' ');
            int equals = claim.IndexOf((byte)'=');
            if (equals <= 0 || !Xtext.TryDecode(claim[(equals + 1)..], SenderClaims.MaxOctets, out string? value))
                return ClaimSyntax;
            ReadOnlySpan<byte> keyword = claim[..equals];
            if (value.Length == 0)
                continue;
            claims = Is(keyword, "SCRIPT"u8) ? claims with { Script = value }
                : Is(keyword, "DIRECTORY"u8) ? claims with { Directory = value }
                : Is(keyword, "PHP"u8) ? claims with { PhpScript = value }
                : Is(keyword, "POOL"u8) ? claims with { Pool = value }
                : Is(keyword, "SITE"u8) ? claims with { Site = value }
                : Is(keyword, "VISITOR"u8) ? claims with { Visitor = value }
                : claims;
        }
        command = new XClaimCommand(claims);
        return null;
    }

    private static SmtpSyntaxError? ParseAuth(ReadOnlySpan<byte> rest, out SmtpCommand? command)
    {
        command = null;
        int space = rest.IndexOf((byte)' ');
        ReadOnlySpan<byte> mechanism = space < 0 ? rest : rest[..space];
        ReadOnlySpan<byte> response = space < 0 ? [] : rest[space..].TrimStart((byte)' ');
        if (mechanism.Length is 0 or > MaxMechanismOctets || response.Contains((byte)' ') || !Ascii.IsValid(rest))
            return AuthSyntax;
        foreach (byte c in mechanism)
        {
            if (!char.IsAsciiLetterOrDigit((char)c) && c is not ((byte)'-' or (byte)'_'))
                return AuthSyntax;
        }
        command = new AuthCommand(Encoding.ASCII.GetString(mechanism).ToUpperInvariant(), response.IsEmpty ? null : Encoding.ASCII.GetString(response));
        return null;
    }

    /// <summary>Takes <c>FROM:&lt;…&gt;</c>; afterwards <paramref name="rest"/> holds the parameters.</summary>
    private static bool TryTakePath(ref ReadOnlySpan<byte> rest, ReadOnlySpan<byte> keyword, out ReadOnlySpan<byte> path)
    {
        path = [];
        if (rest.Length < keyword.Length || !Is(rest[..keyword.Length], keyword))
            return false;
        ReadOnlySpan<byte> text = rest[keyword.Length..].TrimStart((byte)' ');
        if (text.IsEmpty || text[0] != '<')
            return false;
        bool quoted = false;
        for (int i = 1; i < text.Length; i++)
        {
            switch (text[i])
            {
                case (byte)'\\' when quoted:
                    i++;
                    break;
                case (byte)'"':
                    quoted = !quoted;
                    break;
                case (byte)'>' when !quoted:
                    path = text[1..i];
                    rest = text[(i + 1)..];
                    if (!rest.IsEmpty && rest[0] != ' ')
                        return false;
                    rest = rest.TrimStart((byte)' ');
                    return true;
            }
        }
        return false;
    }

    /// <summary>RFC 3463 §3.2: 5.1.7 is the sender's address, 5.1.3 a recipient's.</summary>
    private static SmtpSyntaxError NotQualified(string codes, string path, MailboxAddress address) =>
        Error($"{codes} The {path} <{ReplyText.Clean(address.Text, MaxAddressShown)}> needs a domain");

    private static SmtpSyntaxError? ReadAddress(ReadOnlySpan<byte> path, out MailboxAddress? address)
    {
        address = null;
        if (!TryDecode(path, out string text))
            return NotUtf8;
        if (text[0] == '@' && !TrySkipSourceRoute(ref text))
            return BadForwardPath;
        if (!MailboxAddress.TryParse(text, out address, allowUnqualified: true))
            return BadForwardPath;
        return null;
    }

    /// <summary>Source routes must be understood and should be ignored (RFC 5321 §4.1.1.3, Appendix C).</summary>
    private static bool TrySkipSourceRoute(ref string text)
    {
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || colon == text.Length - 1)
            return false;
        foreach (string hop in text[..colon].Split(','))
        {
            if (hop.Length < 2 || hop[0] != '@' || !Domain.TryParse(hop[1..], out _))
                return false;
        }
        text = text[(colon + 1)..];
        return true;
    }

    internal static bool Is(ReadOnlySpan<byte> word, ReadOnlySpan<byte> upperCase) => Ascii.EqualsIgnoreCase(word, upperCase);

    /// <summary>Decimal digits only, at most 20 (RFC 1870 §6.1, RFC 3030 §2); what does not fit 63 bits is no number.</summary>
    internal static bool TryReadNumber(ReadOnlySpan<byte> digits, out long number)
    {
        number = 0;
        return digits.Length is > 0 and <= 20 && long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    internal static SmtpSyntaxError Error(string reply) => new(SmtpReply.Parse(reply));

    private static bool HasControls(ReadOnlySpan<byte> line) => line.ContainsAnyInRange((byte)0, (byte)0x1f) || line.Contains((byte)0x7f);

    private static bool TryDecode(ReadOnlySpan<byte> octets, out string text)
    {
        bool valid = System.Text.Unicode.Utf8.IsValid(octets);
        text = valid ? Encoding.UTF8.GetString(octets) : "";
        return valid;
    }
}
