using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Submission;

/// <summary>One mail transaction of a session, from an accepted MAIL to its end.</summary>
internal sealed class MailTransaction(QueueId id, DateTimeOffset receivedAt, SenderIdentity identity, AccountLookup lookup, MailCommand mail) : IDisposable
{
    private readonly List<EnvelopeRecipient> _recipients = [];
    private readonly HashSet<ForwardPath> _known = [];
    private readonly byte[] _ref = Encoding.ASCII.GetBytes(id.ToString());

    public QueueId Id => id;

    /// <summary>The 26 characters of <see cref="Id"/>.</summary>
    public ReadOnlySpan<byte> Ref => _ref;

    public DateTimeOffset ReceivedAt => receivedAt;

    public SenderIdentity Identity => identity;

    /// <summary>As of MAIL, or of the command before which accounts have changed, for the early decisions at RCPT and DATA; looked up again at the end of data.</summary>
    public AccountLookup Lookup
    {
        get;
        set
        {
            field = value;
            LimitsRecipients = CountsRecipients(value.Account);
        }
    }
    = lookup;

    public MailCommand Mail => mail;

    /// <summary>What offers the message, of local mail, as far as it is known before the message.</summary>
    public SendingScript? Script { get; init; }

    public int RecipientCount => _recipients.Count;

    /// <summary>Whether more recipients can change the early decision: some limit in force counts them.</summary>
    public bool LimitsRecipients { get; private set; } = CountsRecipients(lookup.Account);

    /// <summary>The refusal of a recipient that takes the whole message with it: all or nothing.</summary>
    public SmtpReply? Doom { get; set; }

    /// <summary>The reply to each recipient over the bound: they share one record.</summary>
    public SmtpReply? Excess { get; set; }

    /// <summary>What BDAT has brought so far, or null.</summary>
    public MailContent? Content { get; set; }

    public MailDataReader? Reader { get; set; }

    /// <summary>Adds a recipient; the same one again is accepted and stays as it was first given.</summary>
    public void Add(EnvelopeRecipient recipient)
    {
        if (_known.Add(recipient.ForwardPath))
            _recipients.Add(recipient);
    }

    public bool Has(ForwardPath forwardPath) => _known.Contains(forwardPath);

    public Envelope ToEnvelope(EnvelopeRecipient? next = null)
    {
        var recipients = new EnvelopeRecipient[_recipients.Count + (next is null ? 0 : 1)];
        _recipients.CopyTo(recipients);
        if (next is not null)
            recipients[^1] = next;
        return EnvelopeOf(mail, ImmutableCollectionsMarshal.AsImmutableArray(recipients));
    }

    public static Envelope EnvelopeOf(MailCommand mail, ImmutableArray<EnvelopeRecipient> recipients) =>
        new(mail.ReversePath, recipients, mail.Octets, mail.SmtpUtf8, mail.Return, mail.EnvelopeId, mail.RequireTls);

    private static bool CountsRecipients(SenderAccount account) =>
        account.Levels.Any(static level => level.IsEnforced && level.Limits.Limits.Any(static limit => limit.Unit == LimitUnit.Recipients));

    public void Dispose() => Content?.Dispose();
}
