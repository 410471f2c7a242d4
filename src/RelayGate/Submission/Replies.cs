using RelayGate.Core.Smtp;

namespace RelayGate.Submission;

/// <summary>The replies that are no decisions of the policy; their octets are made once.</summary>
internal static class Replies
{
    public static readonly SmtpReply Closing = SmtpReply.Parse("221 2.0.0 Bye");
    public static readonly SmtpReply Done = SmtpReply.Parse("250 2.0.0 OK");
    public static readonly SmtpReply Noted = SmtpReply.Parse("250 2.0.0 Noted");
    public static readonly SmtpReply Reset = SmtpReply.Parse("250 2.0.0 Reset");
    public static readonly SmtpReply CannotVerify = SmtpReply.Parse("252 2.5.0 Not verified; just send");
    public static readonly SmtpReply Help = SmtpReply.Parse("214 2.0.0 EHLO, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT (RFC 5321, RFC 6409)");
    public static readonly SmtpReply StartMailInput = SmtpReply.Parse("354 End with <CRLF>.<CRLF>");
    public static readonly SmtpReply StartTls = SmtpReply.Parse("220 2.0.0 Begin TLS");
    public static readonly SmtpReply NoTls = SmtpReply.Parse("502 5.5.1 STARTTLS is not offered here");
    public static readonly SmtpReply TlsActive = SmtpReply.Parse("503 5.5.1 TLS is active");
    public static readonly SmtpReply TlsUnavailable = SmtpReply.Parse("454 4.7.0 TLS is not available now");

    public static readonly SmtpReply AuthNeedsTls = SmtpReply.Parse("538 5.7.11 AUTH needs TLS first: use STARTTLS");
    public static readonly SmtpReply AuthUnknownMechanism = SmtpReply.Parse("504 5.5.4 Mechanisms are PLAIN, LOGIN and SCRAM-SHA-256");
    public static readonly SmtpReply AuthTwice = SmtpReply.Parse("503 5.5.1 Logged in already");
    public static readonly SmtpReply AuthMalformed = SmtpReply.Parse("501 5.5.2 Not a valid response of this mechanism in base64");
    public static readonly SmtpReply AuthTooLong = SmtpReply.Parse("500 5.5.6 Response too long");
    public static readonly SmtpReply AuthCancelled = SmtpReply.Parse("501 5.7.0 Authentication cancelled");
    public static readonly SmtpReply AuthOk = SmtpReply.Parse("235 2.7.0 Authentication succeeded");
    public static readonly SmtpReply AuthFailed = SmtpReply.Parse("535 5.7.8 Login or password is wrong");
    public static readonly SmtpReply AuthLater = SmtpReply.Parse("454 4.7.0 Too busy to check the password, try again");
    public static readonly SmtpReply AuthThrottled = SmtpReply.Parse("454 4.7.0 Too many failed logins from this address, try again later");
    public static readonly SmtpReply AuthPlainPrompt = SmtpReply.Parse("334 ");
    public static readonly SmtpReply AuthLoginPrompt = SmtpReply.Parse("334 VXNlcm5hbWU6"); // "Username:", as clients expect it.
    public static readonly SmtpReply AuthPasswordPrompt = SmtpReply.Parse("334 UGFzc3dvcmQ6"); // "Password:".

    public static readonly SmtpReply LineTooLong = SmtpReply.Parse("500 5.5.2 Line too long");
    public static readonly SmtpReply BareLineEnd = SmtpReply.Parse("500 5.5.2 A command ends with CRLF, not with CR or LF alone");
    public static readonly SmtpReply RequireTlsNeedsTls = SmtpReply.Parse("530 5.7.0 REQUIRETLS is for sessions over TLS");
    public static readonly SmtpReply NeedsSmtpUtf8 = SmtpReply.Parse("553 5.6.7 A non-ASCII address needs SMTPUTF8 at MAIL");
    public static readonly SmtpReply OriginalRecipientNeedsSmtpUtf8 = SmtpReply.Parse("501 5.5.4 Non-ASCII in ORCPT needs SMTPUTF8 at MAIL");
    public static readonly SmtpReply ChunkTooLarge = SmtpReply.Parse("552 5.3.4 Chunk is larger than any message may be");
    public static readonly SmtpReply ChunkTaken = SmtpReply.Parse("250 2.0.0 Chunk received");

    public static readonly SmtpReply Idle = SmtpReply.Parse("421 4.4.2 Nothing heard for too long, closing");
    public static readonly SmtpReply DataTooSlow = SmtpReply.Parse("421 4.4.2 Mail data took too long, closing");
    public static readonly SmtpReply Stopping = SmtpReply.Parse("421 4.3.2 Shutting down, try again");
    public static readonly SmtpReply TooManySessions = SmtpReply.Parse("421 4.3.2 Too many sessions, try again later");
    public static readonly SmtpReply TooManyFromAddress = SmtpReply.Parse("421 4.7.0 Too many sessions from this address");
    public static readonly SmtpReply TooManyOfIdentity = SmtpReply.Parse("421 4.7.0 Too many sessions of this login or user");
    public static readonly SmtpReply TooManyErrors = SmtpReply.Parse("421 4.7.0 Too many errors, closing");
    public static readonly SmtpReply TooManyTransactions = SmtpReply.Parse("421 4.7.0 Enough for one session, connect again");
    public static readonly SmtpReply TooManyFailedLogins = SmtpReply.Parse("421 4.7.0 Too many failed logins, closing");
    public static readonly SmtpReply DataNeverEnds = SmtpReply.Parse("552 5.3.4 Far more data than any message may have, closing");
    public static readonly SmtpReply InternalError = SmtpReply.Parse("421 4.3.0 Internal error, closing");

    public static readonly SmtpReply SenderOk = SmtpReply.Parse("250 2.1.0 Sender ok");
    public static readonly SmtpReply RecipientOk = SmtpReply.Parse("250 2.1.5 Recipient ok");
    public static readonly SmtpReply NoLocalContact = SmtpReply.Parse("550 5.1.1 Nobody is named to get mail of this local user: set a contact or Postmaster");
    public static readonly SmtpReply BareLineEndInData = SmtpReply.Parse("550 5.6.0 Mail data has a bare CR or LF; only CRLF may end a line");
    public static readonly SmtpReply NulInData = SmtpReply.Parse("550 5.6.0 Mail data has a NUL octet");
    public static readonly SmtpReply MessageTooLarge = SmtpReply.Parse("552 5.3.4 Message is too large");
    public static readonly SmtpReply HeaderTooLarge = SmtpReply.Parse("552 5.3.4 Header section is larger than 256 KiB");
    public static readonly SmtpReply NoMemory = SmtpReply.Parse("452 4.3.1 Too much mail at once, try again later");
    public static readonly SmtpReply StoreFull = SmtpReply.Parse("452 4.3.1 No room for mail now, try again later");
    public static readonly SmtpReply StoreFailed = SmtpReply.Parse("451 4.3.0 Could not store the message, try again");
    public static readonly SmtpReply StoreBusy = SmtpReply.Parse("451 4.3.2 The queue is too busy, try again");
    public static readonly SmtpReply AccountChanged = SmtpReply.Parse("451 4.3.0 Accounts are being changed, try again");

    public static SmtpReply TooManyRecipients(int most) => SmtpReply.Parse($"452 4.5.3 Too many recipients: at most {most} in one message");
}
