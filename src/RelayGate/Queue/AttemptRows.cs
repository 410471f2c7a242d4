using System.Buffers;
using System.Text;
using System.Text.Json;
using RelayGate.Core.Replies;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The rows of delivery attempts, as <c>message explain</c> tells them.</summary>
internal static class AttemptRows
{
    /// <summary>Stage of what was no attempt: the job was put off, for a cause that is new for the message, or its sender was to be told of the delay.</summary>
    public const string PutOff = "put-off";

    // An attempt may be written again after a commit whose end was not known.
    private const string InsertRow = """
        insert into attempt (id, started_at, position, duration, stage, next_hop, remote, local, tls, results, provider, class, subscription, tls_policy, refusals, waits_for)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing
        """;

    private const string Select = "select 1 from attempt where id = ? and started_at = ? and position = ?";
    private const string SelectPutOff = "select 1 from attempt where id = ? and waits_for = ? limit 1";
    private const string UpdateReport = "update attempt set report = ? where id = ? and started_at = ? and position = ?";

    /// <param name="results">As <see cref="WriteResults"/> has filled it.</param>
    /// <returns>False: it is there already.</returns>
    public static bool Insert(WriteContext context, DeliveryJob job, DeliveryAttempt attempt, RecordBuffer results)
    {
        ReplyFinding? refusal = ReplyClasses.Graver(
            ReplyClasses.Gravest(attempt.Results, static result => result.Finding), ReplyClasses.Gravest(attempt.HostRefusals, static passed => passed.Finding));
        return context.Prepared(InsertRow)
            .Bind(1, job.Message.Id.ToBytes()).Bind(2, attempt.StartedAt.ToUnixTimeMilliseconds()).Bind(3, job.Recipients[0].Index).Bind(4, (long)attempt.Duration.TotalMilliseconds)
            .Bind(5, attempt.Stage).Bind(6, attempt.NextHop).Bind(7, attempt.Remote).Bind(8, attempt.Local).Bind(9, attempt.Tls).BindUtf8(10, results.Written)
            .Bind(11, attempt.Provider).Bind(12, (int?)refusal?.Class).Bind(13, refusal is null ? null : job.Message.Subscription).Bind(14, attempt.TlsPolicy)
            .Bind(15, attempt.HostRefusals.IsEmpty ? null : RefusalsText(attempt)).Bind(16, attempt.WaitsFor?.Text)
            .Execute() > 0;
    }

    public static bool IsThere(WriteContext context, DeliveryJob job, DeliveryAttempt attempt)
    {
        SqliteStatement select = context.Prepared(Select)
            .Bind(1, job.Message.Id.ToBytes()).Bind(2, attempt.StartedAt.ToUnixTimeMilliseconds()).Bind(3, job.Recipients[0].Index);
        bool isThere = select.Step();
        select.Reset();
        return isThere;
    }

    /// <summary>Whether the record tells already that the message was put off for this.</summary>
    public static bool HasPutOff(WriteContext context, DeliveryJob job, WaitKey waitsFor)
    {
        SqliteStatement select = context.Prepared(SelectPutOff).Bind(1, job.Message.Id.ToBytes()).Bind(2, waitsFor.Text);
        bool isThere = select.Step();
        select.Reset();
        return isThere;
    }

    /// <summary>Notes the DSN that it caused, or the bound that kept it from being sent.</summary>
    public static void NoteReport(WriteContext context, DeliveryJob job, DeliveryAttempt attempt, DsnRows dsn) => context.Prepared(UpdateReport)
        .Bind(1, dsn.Suppression == DsnSuppression.None ? dsn.Id.ToString() : DsnSuppressions.Word(dsn.Suppression))
        .Bind(2, job.Message.Id.ToBytes()).Bind(3, attempt.StartedAt.ToUnixTimeMilliseconds()).Bind(4, job.Recipients[0].Index).Execute();

    public static void WriteResults(RecordBuffer buffer, DeliveryAttempt attempt)
    {
        Utf8JsonWriter json = buffer.Begin();
        json.WriteStartArray();
        foreach (RecipientResult result in attempt.Results)
        {
            json.WriteStartObject();
            json.WriteNumber("position"u8, result.Recipient.Index);
            json.WriteString("recipient"u8, result.Recipient.ForwardPath.Text);
            json.WriteString("result"u8, WordOf(result.Result));
            json.WriteString("reply"u8, result.Reply);
            if (result.EnhancedStatus is { } status)
                json.WriteString("status"u8, status);
            if (result.Finding is { } finding)
                WriteFinding(json, finding, attempt.Provider);
            if (result.Host is { } host)
            {
                json.WriteString("nextHop"u8, host.NextHop);
                json.WriteString("remote"u8, host.Remote);
                json.WriteString("local"u8, host.Local);
            }
            if (result.NextAttempt is { } next)
                json.WriteNumber("next"u8, next.ToUnixTimeMilliseconds());
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.Flush();
    }

    private static string RefusalsText(DeliveryAttempt attempt)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text))
        {
            json.WriteStartArray();
            foreach (HostRefusal refusal in attempt.HostRefusals)
            {
                RecipientResult first = attempt.Results[refusal.Recipient];
                json.WriteStartObject();
                json.WriteString("stage"u8, refusal.Stage);
                json.WriteString("nextHop"u8, refusal.NextHop);
                json.WriteString("remote"u8, refusal.Remote);
                json.WriteString("local"u8, refusal.Local);
                json.WriteString("host"u8, refusal.Provider);
                json.WriteString("recipient"u8, first.Recipient.ForwardPath.Text);
                json.WriteNumber("recipients"u8, refusal.Recipients);
                json.WriteString("result"u8, WordOf(first.Result));
                json.WriteString("reply"u8, refusal.Reply);
                json.WriteString("status"u8, refusal.Status);
                if (refusal.Finding is { } finding)
                    WriteFinding(json, finding, refusal.Provider);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    private static string WordOf(DeliveryResult result) => result switch
    {
        DeliveryResult.Delivered => "delivered",
        DeliveryResult.Failed => "failed",
        _ => "deferred",
    };

    private static void WriteFinding(Utf8JsonWriter json, ReplyFinding finding, string provider)
    {
        if (finding.Provider != provider) // The reply gives away who is behind a smarthost.
            json.WriteString("provider"u8, finding.Provider);
        json.WriteString("class"u8, ReplyClassNames.NameOf(finding.Class));
        if (finding.Code is { } code)
            json.WriteString("code"u8, code);
        if (finding.List is { } list)
            json.WriteString("list"u8, list);
        if (finding.Url is { } url)
            json.WriteString("url"u8, url);
        if (finding.Rule is { } rule)
            json.WriteString("rule"u8, rule);
    }
}
