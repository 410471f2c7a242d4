namespace RelayGate.Notices;

/// <summary>The tables of webhooks. Times called "clock" are those of <see cref="NoticeClock"/>; the others are the wall clock's.</summary>
internal static class WebhookSchema
{
    public const string Ddl = """
        -- disabled: why nothing is sent to it any more.
        create table webhook (
          name text not null primary key,
          url text not null,
          kinds text not null,
          subscription text,
          allow_http integer not null,
          allow_private integer not null,
          disabled text,
          created_at integer not null
        ) without rowid;

        -- The newest is the one without an end.
        create table webhook_secret (
          webhook text not null,
          number integer not null,
          key blob not null,
          until integer,
          primary key (webhook, number)
        ) without rowid;

        -- next_clock is null for deliveries that have ended.
        create table webhook_delivery (
          id blob not null primary key,
          webhook text not null,
          kind integer not null,
          payload blob not null,
          state integer not null,
          attempts integer not null,
          next_clock integer
        ) without rowid;
        create index webhook_due on webhook_delivery (webhook, next_clock) where next_clock is not null;
        create index webhook_history on webhook_delivery (webhook, id);

        create table webhook_attempt (
          delivery blob not null,
          number integer not null,
          at integer not null,
          duration integer not null,
          status integer,
          error text not null,
          primary key (delivery, number)
        ) without rowid;

        """;
}
