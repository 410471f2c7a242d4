using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Writes decision records: columns to search by, and the rest as JSON that the message log reads back.</summary>
internal static class RecordRows
{
    private const int MaxRecipientsListed = 100; // All are counted; a record stays a few KiB.

    private const string InsertDecision = """
        insert into decision (id, kind, verdict, outcome, reason, subscription, identity, sender, recipients, octets, repeats, last_at, levels, detail, uid, script)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """;

    private const string UpdateOutcome = "update decision set outcome = ?, last_at = ? where id = ?";

    /// <summary>The recipients as they are searched: one a line, the first hundred.</summary>
    public static string Recipients(ImmutableArray<EnvelopeRecipient> recipients)
    {
        if (recipients.Length == 1)
            return recipients[0].ForwardPath.Text;
        var text = new StringBuilder();
        foreach (EnvelopeRecipient recipient in recipients.AsSpan()[..Math.Min(recipients.Length, MaxRecipientsListed)])
            text.Append(recipient.ForwardPath.Text).Append('\n');
        return text.ToString().TrimEnd('\n');
    }

    /// <param name="counted">The levels it counts at, or would have.</param>
    /// <param name="script">What made it, of local mail.</param>
    public static void Insert(
        WriteContext context, ReadOnlySpan<byte> id, RecordKind kind, Decision decision, RecordOutcome outcome, string? subscription, string identity,
        string sender, string recipients, long octets, long lastAt, ReadOnlySpan<byte> detail, ImmutableArray<LevelLimit> counted,
        ScriptKey? script = null)
    {
        context.Prepared(InsertDecision)
            .Bind(1, id).Bind(2, (long)kind).Bind(3, RecordCodes.Of(decision.Verdict)).Bind(4, (long)outcome).Bind(5, decision.Reason)
            .Bind(6, subscription).Bind(7, identity).Bind(8, sender).Bind(9, recipients).Bind(10, octets).Bind(11, 1L).Bind(12, lastAt)
            .BindUtf8(13, Ruling(context.Scratch, decision, counted)).BindUtf8(14, detail).Bind(15, script?.Uid).Bind(16, script?.Script)
            .Execute();
    }

    /// <summary>Sets what became of a message. Nothing happens when its record has gone.</summary>
    public static void SetOutcome(WriteContext context, ReadOnlySpan<byte> id, RecordOutcome outcome, DateTimeOffset at) =>
        context.Prepared(UpdateOutcome).Bind(1, (long)outcome).Bind(2, at.ToUnixTimeMilliseconds()).Bind(3, id).Execute();

    /// <summary>What is known before the binding decision, written by the session's thread.</summary>
    public static void WriteDetail(RecordBuffer buffer, OfferedMessage message)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartObject();
        Source(json, message.Source, message.Account.Identity, message.Account);
        Envelope(json, message.Envelope);
        Facts(json, message.Facts);
        ScriptRecord.Write(json, message.Facts.Script);
        Early(json, message.Early);
        if (message.Early.SigningKeys.IsEmpty)
            NotSigned(json, Unsigned.Of(message.Account, MessagePreparer.AuthorOf(message.Facts, message.Early)));
        if (message.HeaderChanges.Count > 0)
        {
            json.WriteStartArray("headerChanges"u8);
            foreach (string change in message.HeaderChanges)
                json.WriteStringValue(change);
            json.WriteEndArray();
        }
        json.WriteEndObject();
        json.Flush();
    }

    public static void WriteDetail(RecordBuffer buffer, RefusedOffer refusal)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartObject();
        Source(json, refusal.Source, refusal.Identity, refusal.Account);
        json.WriteString("stage"u8, refusal.Stage);
        Envelope(json, refusal.Envelope);
        if (refusal.Facts is { } facts)
            Facts(json, facts);
        ScriptRecord.Write(json, refusal.Script);
        Early(json, refusal.Decision);
        json.WriteEndObject();
        json.Flush();
    }

    public static void WriteDsnDetail(RecordBuffer buffer, QueueId original, EgressChoice egress, ImmutableArray<DkimKey> keys)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartObject();
        json.WriteString("original"u8, original.ToString());
        Egress(json, egress);
        Signatures(json, keys);
        json.WriteEndObject();
        json.Flush();
    }

    public static void WriteNoticeDetail(RecordBuffer buffer, string subject, ServerMailOrigin origin)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartObject();
        json.WriteString("subject"u8, subject);
        Egress(json, origin.Egress);
        Signatures(json, origin.Keys);
        json.WriteEndObject();
        json.Flush();
    }

    /// <summary>What only the binding decision knows: the reply, and usage at each level in order.</summary>
    private static ReadOnlySpan<byte> Ruling(RecordBuffer buffer, Decision decision, ImmutableArray<LevelLimit> counted)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartObject();
        json.WriteString("reply"u8, decision.Reply.ToString());
        if (decision.Class is { } messageClass)
            json.WriteString("class"u8, messageClass.Word());
        if (decision.IsExempt)
            json.WriteBoolean("exempt"u8, true);
        json.WriteStartArray("levels"u8);
        foreach (LevelUsage level in decision.Levels)
        {
            json.WriteStartObject();
            json.WriteString("level"u8, LevelName(level.Key.Level));
            json.WriteString("name"u8, level.Key.Name);
            if (level.Key.Class is { } only)
                json.WriteString("class"u8, only.Word());
            if (level.Limit is { } limit)
                json.WriteString("limit"u8, limit.ToString());
            json.WriteString("origin"u8, level.Origin);
            json.WriteNumber("used"u8, level.Used);
            json.WriteNumber("after"u8, level.After);
            if (ReferenceEquals(level, decision.Stopped))
                json.WriteBoolean("stopped"u8, true);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        if (Reasons.IsOfLimits(decision.Reason))
            Beyond(json, decision, counted);
        if (decision.NextPossible is { } next)
            json.WriteNumber("next"u8, next.ToUnixTimeMilliseconds());
        json.WriteEndObject();
        json.Flush();
        return buffer.Written;
    }

    /// <summary>The levels that a refusal left no reason to look at: a replay with other limits counts at them as well.</summary>
    private static void Beyond(Utf8JsonWriter json, Decision decision, ImmutableArray<LevelLimit> counted)
    {
        json.WriteStartArray("beyond"u8);
        foreach (LevelLimit level in counted)
        {
            if (level.Key.Class is not null || decision.Levels.Any(known => known.Key == level.Key))
                continue;
            json.WriteStartObject();
            json.WriteString("level"u8, LevelName(level.Key.Level));
            json.WriteString("name"u8, level.Key.Name);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    public static string LevelName(Level level) => level switch
    {
        Level.Server => "server",
        Level.Plan => "plan",
        Level.Subscription => "subscription",
        Level.Domain => "domain",
        _ => "mailbox",
    };

    private static void Source(Utf8JsonWriter json, SubmissionSource source, SenderIdentity identity, SenderAccount? account)
    {
        json.WriteString("listener"u8, source.Listener);
        json.WriteString("protocol"u8, source.Protocol);
        json.WriteString("helo"u8, source.HeloName);
        if (source.TlsVersion is { } tls)
            json.WriteString("tls"u8, source.TlsCipher is { } cipher ? $"{tls} {cipher}" : tls);
        if (identity.Client is { } client)
            json.WriteString("client"u8, client.ToString());
        if (identity.Process is { } process)
            ProcessRecord.Write(json, process);
        if (identity.Credential is { } credential)
            json.WriteString("credential"u8, credential);
        ScriptRecord.Write(json, source.Claims);
        if (account?.Plan is { } plan)
            json.WriteString("plan"u8, plan);
        if (account is { IsClaimed: true })
            json.WriteBoolean("claimed"u8, true);
    }

    private static void Envelope(Utf8JsonWriter json, Envelope envelope)
    {
        json.WriteNumber("recipients"u8, envelope.Recipients.Length);
        if (envelope.EnvelopeId is { } id)
            json.WriteString("envelopeId"u8, id);
    }

    private static void Facts(Utf8JsonWriter json, MessageFacts facts)
    {
        if (facts.MessageId is { } id)
            json.WriteString("messageId"u8, id);
        if (facts.Subject is { } subject)
            json.WriteString("subject"u8, subject);
        if (facts.PhpScript is { } script)
            json.WriteString("phpScript"u8, script);
        if (facts.From.IsEmpty)
            return;
        json.WriteString("from"u8, facts.From[0].Text);
    }

    private static void Early(Utf8JsonWriter json, Decision decision)
    {
        if (!decision.Corrections.IsEmpty)
        {
            json.WriteStartArray("corrections"u8);
            foreach (Correction correction in decision.Corrections)
            {
                json.WriteStartObject();
                json.WriteString("what"u8, correction.What);
                json.WriteString("original"u8, correction.Original);
                json.WriteString("replacement"u8, correction.Replacement);
                json.WriteString("why"u8, correction.Why);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        if (decision.IsTaken)
        {
            json.WriteString("reversePath"u8, decision.ReversePath.Text);
            Egress(json, decision.Egress);
        }
        Signatures(json, decision.SigningKeys);
    }

    private static void Signatures(Utf8JsonWriter json, ImmutableArray<DkimKey> keys)
    {
        if (keys.IsEmpty)
            return;
        json.WriteStartArray("signatures"u8);
        foreach (DkimKey key in keys)
            json.WriteStringValue($"d={key.Domain.Value} s={key.Selector}");
        json.WriteEndArray();
    }

    private static void NotSigned(Utf8JsonWriter json, Unsigned? unsigned)
    {
        if (unsigned is null)
            return;
        json.WriteStartObject("unsigned"u8);
        json.WriteString("why"u8, unsigned.Why);
        if (unsigned.Domain is { } domain)
            json.WriteString("domain"u8, domain);
        json.WriteEndObject();
    }

    private static void Egress(Utf8JsonWriter json, EgressChoice egress)
    {
        json.WriteStartObject("egress"u8);
        json.WriteString("why"u8, egress.Why);
        if (egress.IPv4 is { } v4)
            json.WriteString("ipv4"u8, v4.Address.ToString());
        if (egress.IPv6 is { } v6)
            json.WriteString("ipv6"u8, v6.Address.ToString());
        json.WriteString("helo"u8, (egress.IPv4 ?? egress.IPv6)?.Helo ?? egress.Helo);
        if (egress.IsSystemDefault)
            json.WriteBoolean("system"u8, true);
        if (egress.IPv6OffBy is { } off)
            json.WriteString("ipv6OffBy"u8, off);
        json.WriteEndObject();
    }
}
