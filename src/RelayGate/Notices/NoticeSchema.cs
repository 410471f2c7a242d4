namespace RelayGate.Notices;

/// <summary>The tables of notices. Times called "clock" are those of <see cref="NoticeClock"/>; the others are the wall clock's.</summary>
internal static class NoticeSchema
{
    public const string Ddl = """
        -- One row for all notices of one kind and object within one period, unless the opposite came between. class is '' where the limit holds for all messages.
        create table notice (
          id blob not null primary key,
          kind integer not null,
          level text not null,
          name text not null,
          class text not null,
          subscription text,
          opened_clock integer not null,
          last_clock integer not null,
          last_at integer not null,
          repeats integer not null,
          detail text not null
        ) without rowid;
        create index notice_object on notice (level, name, class, kind, last_clock);
        create index notice_subscription on notice (subscription, id);

        -- Who is told of a notice by mail; mail is null while the notice waits. Owner: 1 for the contact of its subscription, 0 for the administrator.
        create table notice_receipt (
          notice blob not null,
          receiver text not null,
          owner integer not null,
          mail blob,
          told_clock integer,
          primary key (notice, receiver)
        ) without rowid;
        create index notice_waiting on notice_receipt (receiver, notice) where mail is null;

        -- When a receiver was last sent a mail, and when the next one is due.
        create table notice_receiver (
          address text not null primary key,
          mailed_clock integer,
          due_clock integer
        ) without rowid;
        create index notice_due on notice_receiver (due_clock) where due_clock is not null;

        -- Kinds that the contact of a subscription is told of, where they are not those of the settings.
        create table notice_owner (
          subscription text not null primary key,
          kinds text not null
        ) without rowid;

        -- The mails of the last period to each receiver.
        create table notice_sent (
          receiver text not null,
          at_clock integer not null,
          primary key (receiver, at_clock)
        ) without rowid;

        """;
}
