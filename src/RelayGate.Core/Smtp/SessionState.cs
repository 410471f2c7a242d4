namespace RelayGate.Core.Smtp;

/// <summary>How far a session has come (RFC 5321 §3.3, §4.1.4).</summary>
public enum SessionPhase
{
    /// <summary>Nothing was said yet, or TLS has just begun.</summary>
    Connected,

    /// <summary>After HELO or EHLO, outside a transaction.</summary>
    Greeted,

    /// <summary>After MAIL.</summary>
    Mail,

    /// <summary>At least one recipient was accepted.</summary>
    Recipients,

    /// <summary>At least one BDAT chunk was accepted, and not the last (RFC 3030 §2).</summary>
    Chunks,
}

/// <summary>Which command is legal when, as a table.</summary>
public static class SessionState
{
    private static readonly SmtpReply HelloFirst = SmtpReply.Parse("503 5.5.1 Say EHLO first");
    private static readonly SmtpReply MailFirst = SmtpReply.Parse("503 5.5.1 Needs MAIL first");
    private static readonly SmtpReply RcptFirst = SmtpReply.Parse("503 5.5.1 No recipient was accepted");
    private static readonly SmtpReply InTransaction = SmtpReply.Parse("503 5.5.1 Not inside a mail transaction");
    private static readonly SmtpReply InChunks = SmtpReply.Parse("503 5.5.1 Go on with BDAT, or give up with RSET");
    private static readonly SmtpReply NotImplemented = SmtpReply.Parse("502 5.5.1 Command not implemented");

    private static readonly SmtpReply?[][] Table = BuildTable();

    /// <summary>Null when <paramref name="verb"/> is legal now, else the reply.</summary>
    public static SmtpReply? Admit(SessionPhase phase, SmtpVerb verb) => Table[(int)verb][(int)phase];

    private static SmtpReply?[][] BuildTable()
    {
        const SmtpReply? Legal = null;
        var table = new SmtpReply?[Enum.GetValues<SmtpVerb>().Length][];
        // Connected, Greeted, Mail, Recipients, Chunks
        table[(int)SmtpVerb.Helo] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Ehlo] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.StartTls] = [HelloFirst, Legal, InTransaction, InTransaction, InTransaction];
        table[(int)SmtpVerb.Auth] = [HelloFirst, Legal, InTransaction, InTransaction, InTransaction];
        table[(int)SmtpVerb.XClaim] = [HelloFirst, Legal, InTransaction, InTransaction, InTransaction];
        table[(int)SmtpVerb.Mail] = [HelloFirst, Legal, InTransaction, InTransaction, InTransaction];
        table[(int)SmtpVerb.Rcpt] = [HelloFirst, MailFirst, Legal, Legal, InChunks];
        table[(int)SmtpVerb.Data] = [HelloFirst, MailFirst, RcptFirst, Legal, InChunks];
        table[(int)SmtpVerb.Bdat] = [HelloFirst, MailFirst, RcptFirst, Legal, Legal];
        table[(int)SmtpVerb.Rset] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Noop] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Help] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Vrfy] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Quit] = [Legal, Legal, Legal, Legal, Legal];
        table[(int)SmtpVerb.Expn] = [NotImplemented, NotImplemented, NotImplemented, NotImplemented, NotImplemented];
        return table;
    }
}
