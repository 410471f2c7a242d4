using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Looks up the account of a sender as it is now (AccountDirectory.LookUpAsync).</summary>
public delegate ValueTask<SenderAccount> SenderLookup(
    SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, CancellationToken cancellationToken);

/// <summary>A held message as it was offered: all that the policy looks at, read back from its rows.</summary>
/// <param name="For">Whose it is, where senders take turns.</param>
/// <param name="Message">Facts of the header section as it leaves, without the trace field that is ours. Its size was judged when it came: 0.</param>
internal sealed record HeldOffer(long Seq, QueueId Id, string For, SenderIdentity Identity, Envelope Envelope, MessageFacts Message)
{
    private const string Select = """
        select m.id, m.subscription, m.flags, m.uid, m.header, m.held_for, d.identity, d.sender, m.credential, m.script, d.detail ->> '$.client', d.detail ->> '$.script.proved'
        from message m left join decision d on d.id = m.id where m.seq = ?
        """;

    private const string SelectUncounted = "select 1 from message where seq = ? and flags & 32 <> 0";
    private const string SelectRecipients = "select address from recipient where message = ? order by position";

    /// <summary>The account of its sender, once it was looked up.</summary>
    public SenderAccount? Account { get; init; }

    /// <returns>Null when it has gone.</returns>
    /// <exception cref="FormatException">A row was not written by this program, or is damaged.</exception>
    public static HeldOffer? Read(StoreConnection connection, long seq)
    {
        ImmutableArray<EnvelopeRecipient> recipients = Recipients(connection, seq);
        SqliteStatement row = connection.Prepared(Select).Bind(1, seq);
        if (!row.Step())
            return null;
        try
        {
            if (row.IsNull(6))
                throw new FormatException("A held message has no record");
            ReversePath reversePath = row.Text(7) is { Length: > 0 } path ? new ReversePath(QueueReader.Address(path)) : ReversePath.Null;
            bool isUtf8 = ((MessageFlags)row.Int64(2)).HasFlag(MessageFlags.HeaderNeedsUtf8) || reversePath.Address is { IsAscii: false };
            HeaderSection header = HeaderSection.Parse(row.Blob(4).ToArray());
            MessageFacts facts = header.ToFacts(0, default);
            if (row.NullableInt64(3) is { } uid && row.NullableText(9) is { } script)
                facts = facts with { Script = new SendingScript(new ScriptKey(int.CreateChecked(uid), script), row.NullableInt64(11) == 1) { IsInDoubt = ((MessageFlags)row.Int64(2)).HasFlag(MessageFlags.ScriptInDoubt) } };
            return new HeldOffer(
                seq, QueueId.FromBytes(row.Blob(0)), row.NullableText(5) ?? row.Text(1), IdentityOf(row.Text(6), row.NullableInt64(3), row.NullableText(8), row.NullableText(10)),
                new Envelope(reversePath, recipients, SmtpUtf8: isUtf8), facts with { ReceivedFields = Math.Max(0, facts.ReceivedFields - 1), Class = MessageRows.ClassOf((MessageFlags)row.Int64(2)) });
        }
        finally
        {
            row.Reset();
        }
    }

    /// <summary>Those of some messages that count at no level yet; what cannot be read is left out.</summary>
    public static List<HeldOffer> ReadUncounted(StoreConnection connection, IReadOnlyList<long> rowIds)
    {
        var offers = new List<HeldOffer>();
        foreach (long seq in rowIds)
        {
            SqliteStatement select = connection.Prepared(SelectUncounted).Bind(1, seq);
            bool isUncounted = select.Step();
            select.Reset();
            try
            {
                if (isUncounted && Read(connection, seq) is { } offer)
                    offers.Add(offer);
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                // Nobody knows any more where it would count.
            }
        }
        return offers;
    }

    /// <summary>The identity that a record names.</summary>
    private static SenderIdentity IdentityOf(string key, long? uid, string? credential, string? client)
    {
        int blank = key.IndexOf(' ', StringComparison.Ordinal);
        (string kind, string name) = blank < 0 ? (key, "") : (key[..blank], key[(blank + 1)..]);
        IdentityKind known = Enum.TryParse(kind, ignoreCase: true, out IdentityKind parsed) ? parsed : IdentityKind.None;
        return new SenderIdentity(known, name, client is null ? null : IPAddress.Parse(client), uid is { } number ? new PeerProcess(int.CreateChecked(number)) : null)
        {
            Credential = credential,
        };
    }

    private static ImmutableArray<EnvelopeRecipient> Recipients(StoreConnection connection, long seq)
    {
        var recipients = ImmutableArray.CreateBuilder<EnvelopeRecipient>();
        SqliteStatement row = connection.Prepared(SelectRecipients).Bind(1, seq);
        try
        {
            while (row.Step())
                recipients.Add(new EnvelopeRecipient(new ForwardPath(QueueReader.Address(row.Text(0)))));
        }
        finally
        {
            row.Reset();
        }
        return recipients.ToImmutable();
    }
}
