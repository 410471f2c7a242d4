using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Smtp;

/// <summary>The verbs a session knows, whether it carries them out or not.</summary>
public enum SmtpVerb
{
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Vrfy,
    Expn,
    Help,
    Noop,
    Quit,
    Auth,
    StartTls,
    XClaim,
}

/// <summary>One command, read and checked (RFC 5321 §4.1). <see cref="object.ToString"/> writes it as it may be sent.</summary>
public abstract record SmtpCommand(SmtpVerb Verb)
{
    public sealed override string ToString()
    {
        var text = new StringBuilder(Verb.ToString().ToUpperInvariant());
        Write(text);
        return text.ToString();
    }

    /// <summary>Adds what follows the verb.</summary>
    private protected abstract void Write(StringBuilder text);
}

/// <summary>A command without arguments that matter: DATA, RSET, NOOP, QUIT, HELP, VRFY, EXPN, STARTTLS.</summary>
public sealed record PlainCommand(SmtpVerb Verb) : SmtpCommand(Verb)
{
    private protected override void Write(StringBuilder text)
    {
    }
}

/// <summary>HELO or EHLO.</summary>
/// <param name="Name">As the client gave it: often no domain at all, and never a reason to refuse (1 to 255 octets, no control characters).</param>
public sealed record HelloCommand(SmtpVerb Verb, string Name) : SmtpCommand(Verb)
{
    private protected override void Write(StringBuilder text) => text.Append(' ').Append(Name);
}

/// <summary>MAIL with its parameters. BODY= and AUTH= are checked and have no effect: content is taken as it comes, identity as it was proved.</summary>
/// <param name="Octets">SIZE= (RFC 1870), or null.</param>
/// <param name="SmtpUtf8">RFC 6531 §3.4.</param>
/// <param name="Return">RET= (RFC 3461 §4.3).</param>
/// <param name="EnvelopeId">ENVID= as written, xtext kept (RFC 3461 §4.4), or null.</param>
/// <param name="RequireTls">REQUIRETLS (RFC 8689 §4.1).</param>
public sealed record MailCommand(
    ReversePath ReversePath, long? Octets = null, bool SmtpUtf8 = false, DsnReturn Return = DsnReturn.Unspecified, string? EnvelopeId = null, bool RequireTls = false)
    : SmtpCommand(SmtpVerb.Mail)
{
    private protected override void Write(StringBuilder text)
    {
        text.Append(" FROM:").Append(ReversePath);
        if (Octets is { } octets)
            text.Append(" SIZE=").Append(octets);
        if (SmtpUtf8)
            text.Append(" SMTPUTF8");
        if (RequireTls)
            text.Append(" REQUIRETLS");
        if (Return != DsnReturn.Unspecified)
            text.Append(Return == DsnReturn.Full ? " RET=FULL" : " RET=HDRS");
        if (EnvelopeId is not null)
            text.Append(" ENVID=").Append(EnvelopeId);
    }
}

/// <summary>RCPT with its parameters.</summary>
/// <param name="OriginalRecipient">ORCPT= as written, xtext kept (RFC 3461 §4.2), with UTF-8 only in the type utf-8 (RFC 6533 §3); or null.</param>
public sealed record RcptCommand(ForwardPath ForwardPath, DsnNotify Notify = DsnNotify.Default, string? OriginalRecipient = null)
    : SmtpCommand(SmtpVerb.Rcpt)
{
    private protected override void Write(StringBuilder text)
    {
        text.Append(" TO:").Append(ForwardPath);
        if (Notify == DsnNotify.Never)
            text.Append(" NOTIFY=NEVER");
        else if (Notify != DsnNotify.Default)
            text.Append(" NOTIFY=").AppendJoin(',', Words(Notify));
        if (OriginalRecipient is not null)
            text.Append(" ORCPT=").Append(OriginalRecipient);
    }

    private static IEnumerable<string> Words(DsnNotify notify)
    {
        if (notify.HasFlag(DsnNotify.Success))
            yield return "SUCCESS";
        if (notify.HasFlag(DsnNotify.Failure))
            yield return "FAILURE";
        if (notify.HasFlag(DsnNotify.Delay))
            yield return "DELAY";
    }
}

/// <summary>BDAT: so many octets of mail data follow at once (RFC 3030 §2).</summary>
public sealed record BdatCommand(long Octets, bool IsLast) : SmtpCommand(SmtpVerb.Bdat)
{
    private protected override void Write(StringBuilder text) => text.Append(' ').Append(Octets).Append(IsLast ? " LAST" : "");
}

/// <summary>AUTH (RFC 4954 §4).</summary>
/// <param name="Mechanism">In upper case.</param>
/// <param name="InitialResponse">Base64 as written, "=" for an empty one, or null. A secret: it is not written.</param>
public sealed record AuthCommand(string Mechanism, string? InitialResponse) : SmtpCommand(SmtpVerb.Auth)
{
    private protected override void Write(StringBuilder text) => text.Append(' ').Append(Mechanism);
}

/// <summary>XCLAIM: what a local client says of itself, a private extension (RFC 5321 §4.1.5) offered on the unix socket alone.</summary>
public sealed record XClaimCommand(SenderClaims Claims) : SmtpCommand(SmtpVerb.XClaim)
{
    private protected override void Write(StringBuilder text)
    {
        Write(text, "SCRIPT", Claims.Script);
        Write(text, "DIRECTORY", Claims.Directory);
        Write(text, "PHP", Claims.PhpScript);
        Write(text, "POOL", Claims.Pool);
        Write(text, "SITE", Claims.Site);
        Write(text, "VISITOR", Claims.Visitor);
    }

    private static void Write(StringBuilder text, string keyword, string? value)
    {
        if (value is not null)
            text.Append(' ').Append(keyword).Append('=').Append(Xtext.Encode(value));
    }
}

/// <summary>A line that is no command.</summary>
/// <param name="MustClose">What follows on the connection cannot be told from commands, so the session has to end.</param>
public sealed record SmtpSyntaxError(SmtpReply Reply, bool MustClose = false);
