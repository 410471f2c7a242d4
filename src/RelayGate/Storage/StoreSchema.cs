using RelayGate.Accounts;
using RelayGate.Egress;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Sts;
using RelayGate.TlsReports;

namespace RelayGate.Storage;

/// <summary>The tables of the store. Times are milliseconds since 1970 UTC; ids are the 16 octets of a queue id, which sort by time.</summary>
internal static class StoreSchema
{
    /// <summary>Kept in <c>PRAGMA user_version</c>; a database with a higher one was written by a newer program, one with a lower one before the first release.</summary>
    public const int Version = 2;

    /// <summary>Kept in <c>PRAGMA application_id</c>: "RLYG".</summary>
    public const int ApplicationId = 0x524C5947;

    public const string Ddl = QueueDdl + UsageHistory.Ddl + ScriptSchema.Ddl + EgressUseRows.Ddl + EgressRows.Ddl + AuditRows.Ddl + AccountSchema.Ddl + RouteSql.Ddl + CredentialSchema.Ddl + NoticeSchema.Ddl + ReportSchedules.Ddl + WebhookSchema.Ddl
        + DsnRates.Ddl + TlsReportRows.Ddl + StsRows.Ddl + SuspendedDestinations.Ddl;

    private const string QueueDdl = """
        create table setting_state (
          name text not null primary key,
          value integer not null
        ) without rowid;

        -- One row for each message that has recipients to serve, is held, or is kept after it failed. Only flags, requeued_at, expires_at, held and held_… change.
        -- requeued_at: when it was last put back by hand after it had failed; its age counts from there.
        -- held_at: what it waits for, as HoldKey writes it; held_for: whose it is, where senders take turns; held_note: why it was not released.
        -- uid, credential, script: who made it, so that it can be held and found by that. named_domains: further domains of the subscription that
        -- reverse-path and From name, so that it is held where one of them is suspended.
        create table message (
          seq integer primary key,
          id blob not null,
          subscription text not null,
          reverse_path text not null,
          flags integer not null,
          dsn_return integer not null,
          envelope_id text,
          egress text not null,
          octets integer not null,
          held integer not null,
          held_since integer,
          held_at text,
          held_for text,
          held_note text,
          uid integer,
          credential text,
          script text,
          named_domains text,
          requeued_at integer,
          expires_at integer,
          header blob not null,
          body blob
        );
        create unique index message_id on message (id);
        create index message_expires on message (expires_at) where expires_at is not null;
        create index message_held on message (subscription, seq, held, octets, flags) where held <> 0;
        create index message_held_at on message (held, held_at, held_for, seq) where held_at is not null;
        create index message_held_age on message (id) where held > 3 and requeued_at is null;
        create index message_held_requeued on message (requeued_at) where held > 3 and requeued_at is not null;
        create index message_uid on message (uid, subscription) where uid is not null and expires_at is null;
        create index message_credential on message (credential, subscription) where credential is not null and expires_at is null;

        -- Whose turn was last at an object where several wait.
        create table hold_turn (
          held_at text not null primary key,
          held_for text not null
        ) without rowid;

        -- counted_at: mailbox, else domain of the sender, so that mail of a suspended one is passed over without a look at its message.
        -- last_class: of last_reply, or of the refusal that it is put off for; a number of ReplyClass.
        -- uncounted: those of attempts that were refused for our address; the retry schedule does not count them.
        -- next_attempt is null for recipients that have ended or are held: the index holds exactly what can become due.
        -- waits_for: what a recipient that was put off waits for, as WaitKey writes it; null while it is in an attempt.
        create table recipient (
          message integer not null,
          position integer not null,
          subscription text not null,
          counted_at text,
          address text not null,
          notify integer not null,
          original_recipient text,
          state integer not null,
          attempts integer not null,
          uncounted integer not null default 0,
          next_attempt integer,
          last_reply text,
          waits_for text,
          last_class integer not null default 0,
          delay_noticed integer not null,
          primary key (message, position)
        ) without rowid;
        create index recipient_due on recipient (subscription, next_attempt) where next_attempt is not null;
        create index recipient_waiting on recipient (waits_for, next_attempt) where waits_for is not null;
        -- By the sender's domain, one entry a message: mail stays with the subscription that took it when the domain goes to another.
        create index recipient_sender on recipient (substr(counted_at, instr(counted_at, '@') + 1), subscription) where position = 0 and counted_at is not null;

        -- Bodies over 256 KiB, written ahead of their message.
        create table chunk (
          id blob not null,
          number integer not null,
          octets blob not null,
          primary key (id, number)
        );

        -- One row for everything offered, and for each DSN of our own.
        create table decision (
          id blob not null primary key,
          kind integer not null,
          verdict integer not null,
          outcome integer not null,
          reason text not null,
          subscription text,
          identity text not null,
          sender text not null,
          recipients text not null,
          octets integer not null,
          repeats integer not null,
          last_at integer not null,
          levels text not null,
          detail text not null,
          uid integer,
          script text
        ) without rowid;
        create index decision_script on decision (uid, script, id) where script is not null;
        create index decision_subscription on decision (subscription, id);

        -- report: id of the DSN that it caused, or the word for why none was sent; null: none was due.
        -- Provider: who runs the next hop. Class: what a refusal in it is about, the gravest where there are several; then subscription says whose mail it was.
        -- waits_for: of what was no attempt, what it was put off for; one such row for each cause of a message, and one for each notice of its delay.
        -- refusals: how hosts ended that were tried before the last one; null: it was the first.
        create table attempt (
          id blob not null,
          started_at integer not null,
          position integer not null,
          duration integer not null,
          stage text not null,
          next_hop text not null,
          remote text not null,
          local text not null,
          tls text,
          tls_policy text,
          results text not null,
          report text,
          provider text not null,
          class integer,
          subscription text,
          refusals text,
          waits_for text,
          primary key (id, started_at, position)
        ) without rowid;
        create index attempt_refused on attempt (started_at) where class is not null;
        create index attempt_class on attempt (class, started_at) where class is not null;
        create index attempt_subscription on attempt (subscription, started_at) where class is not null;

        -- Orders by hand, a bounded number for each message; they go with its decision.
        create table message_order (
          id blob not null,
          number integer not null,
          at integer not null,
          what text not null,
          whom text not null,
          primary key (id, number)
        ) without rowid;

        -- Class: -1 for all mail of the object, else that of a limit for one class (the numbers of MessageClass).
        create table usage (
          level integer not null,
          name text not null,
          class integer not null,
          ring blob not null,
          primary key (level, name, class)
        ) without rowid;

        -- Limits that have been warned of or exceeded and have not recovered yet; used and at: when it was. Noticed: 1 once its notice is stored.
        create table limit_alarm (
          level integer not null,
          name text not null,
          class integer not null,
          unit integer not null,
          span integer not null,
          state integer not null,
          most integer not null,
          warn_at integer not null,
          subscription text,
          used integer not null,
          at integer not null,
          noticed integer not null,
          primary key (level, name, class, unit, span)
        ) without rowid;
        create index limit_alarm_unnoticed on limit_alarm (at) where noticed = 0;

        """;
}
