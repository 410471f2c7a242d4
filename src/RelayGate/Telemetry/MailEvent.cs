using System.Text;
using RelayGate.Core.Mail;

namespace RelayGate.Telemetry;

/// <summary>What happened to a message; one line of the mail log each.</summary>
public enum MailEventKind
{
    /// <summary>250: into the queue.</summary>
    Accepted,

    /// <summary>4yz or 5yz at submission.</summary>
    Refused,

    /// <summary>A recipient was delivered.</summary>
    Delivered,

    /// <summary>A recipient is to be tried again.</summary>
    Deferred,

    /// <summary>A recipient was put off without an attempt, for another reason than before.</summary>
    PutOff,

    /// <summary>A host refused a recipient, and the attempt went on to another host.</summary>
    Passed,

    /// <summary>A recipient was given up.</summary>
    Failed,

    /// <summary>A DSN entered the queue.</summary>
    Dsn,

    /// <summary>A mail of notices entered the queue.</summary>
    Notice,

    /// <summary>A report entered the queue.</summary>
    Report,

    /// <summary>Parked by hand.</summary>
    Held,

    /// <summary>Let go on by hand.</summary>
    Released,

    /// <summary>Made due by hand.</summary>
    Retried,

    /// <summary>By hand: it leaves from other addresses.</summary>
    Rebound,

    /// <summary>Deleted by hand.</summary>
    Deleted,

    /// <summary>Returned to its sender by hand.</summary>
    Bounced,

    /// <summary>Put back by hand after it had failed.</summary>
    Requeued,

    /// <summary>Passwords are being guessed. It is of no message and has no ref.</summary>
    Guessing,
}

/// <summary>One event of one message, to be logged. Fields that are null are left out.</summary>
/// <param name="Ref">Queue id, as in the reply.</param>
public sealed record MailEvent(MailEventKind Kind, QueueId Ref)
{
    public string? Subscription { get; init; }

    /// <summary>For instance <c>login info@shop.test</c> or <c>uid www-acme</c>.</summary>
    public string? Identity { get; init; }

    /// <summary>Client address, or listener for a unix socket.</summary>
    public string? Client { get; init; }

    public ReversePath? ReversePath { get; init; }

    /// <summary>Recipient of a delivery event, or the first one of a submission.</summary>
    public ForwardPath? Recipient { get; init; }

    /// <summary>Number of recipients of a submission.</summary>
    public int? Recipients { get; init; }

    public long? Octets { get; init; }

    /// <summary>Failed logins.</summary>
    public int? Failures { get; init; }

    public string? MessageId { get; init; }

    public string? Reason { get; init; }

    /// <summary>Who gave the order, for instance <c>uid 0</c>.</summary>
    public string? By { get; init; }

    /// <summary>The reply: ours at submission, the next hop's at delivery.</summary>
    public string? Reply { get; init; }

    public string? NextHop { get; init; }

    public string? Remote { get; init; }

    /// <summary>Local address after connect.</summary>
    public string? Local { get; init; }

    public string? Tls { get; init; }

    /// <summary>Who runs the next hop.</summary>
    public string? Provider { get; init; }

    /// <summary>What a refusal of the next hop is about, for instance ip-blocked.</summary>
    public string? Class { get; init; }

    public TimeSpan? Duration { get; init; }

    public DateTimeOffset? NextAttempt { get; init; }

    /// <summary>For a DSN: the message it reports on.</summary>
    public QueueId? Original { get; init; }

    /// <summary>Writes <c>accepted ref=… subscription=acme …</c>: values with blanks, quotes or control characters are quoted and escaped.</summary>
    public void Format(StringBuilder line)
    {
        line.Append(Kind switch
        {
            MailEventKind.Accepted => "accepted",
            MailEventKind.Refused => "refused",
            MailEventKind.Delivered => "delivered",
            MailEventKind.Deferred => "deferred",
            MailEventKind.PutOff => "put-off",
            MailEventKind.Passed => "passed",
            MailEventKind.Failed => "failed",
            MailEventKind.Notice => "notice",
            MailEventKind.Report => "report",
            MailEventKind.Held => "held",
            MailEventKind.Released => "released",
            MailEventKind.Retried => "retried",
            MailEventKind.Rebound => "rebound",
            MailEventKind.Deleted => "deleted",
            MailEventKind.Bounced => "bounced",
            MailEventKind.Requeued => "requeued",
            MailEventKind.Guessing => "guessing",
            _ => "dsn",
        });
        if (Kind != MailEventKind.Guessing)
            line.Append(" ref=").Append(Ref.ToString());
        if (Original is { } original)
            line.Append(" original=").Append(original.ToString());
        Append(line, "subscription", Subscription);
        Append(line, "identity", Identity);
        Append(line, "client", Client);
        Append(line, "from", ReversePath?.ToString());
        Append(line, "to", Recipient?.ToString());
        if (Recipients is { } recipients)
            line.Append(" nrcpt=").Append(recipients);
        if (Octets is { } octets)
            line.Append(" size=").Append(octets);
        if (Failures is { } failures)
            line.Append(" failures=").Append(failures);
        Append(line, "msgid", MessageId);
        Append(line, "reason", Reason);
        Append(line, "by", By);
        Append(line, "nexthop", NextHop);
        Append(line, "remote", Remote);
        Append(line, "provider", Provider);
        Append(line, "local", Local);
        Append(line, "tls", Tls);
        if (Duration is { } duration)
            line.Append(" seconds=").Append(duration.TotalSeconds.ToString("0.###"));
        if (NextAttempt is { } next)
            line.Append(" next=").Append(next.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ"));
        Append(line, "class", Class);
        Append(line, "reply", Reply);
    }

    private static void Append(StringBuilder line, string name, string? value)
    {
        if (string.IsNullOrEmpty(value))
            return;
        line.Append(' ').Append(name).Append('=');
        if (!NeedsQuotes(value))
        {
            line.Append(value);
            return;
        }
        line.Append('"');
        foreach (char c in value)
        {
            if (c is '"' or '\\')
                line.Append('\\').Append(c);
            else
                line.Append(char.IsControl(c) ? ' ' : c); // Nobody breaks a line of the log by what he sends.
        }
        line.Append('"');
    }

    private static bool NeedsQuotes(string value)
    {
        foreach (char c in value)
        {
            if (c is ' ' or '"' or '\\' || char.IsControl(c))
                return true;
        }
        return false;
    }
}
