namespace RelayGate.Accounts;

/// <summary>The tables of credentials (application passwords), of when identities were last used, and of the store's own secrets.</summary>
internal static class CredentialSchema
{
    /// <summary>Runs once, when the store is created, after the tables of accounts.</summary>
    public const string Ddl = """
        -- Level and object: the mailbox, domain or subscription it sends for. Passwords are SCRAM-SHA-256 records (RFC 5803).
        -- The times at which passwords were set are in milliseconds and never the same for two of one name.
        -- Previous: what was replaced with a grace, valid until previous_until; it has the salt of its successor.
        create table credential (
          name text not null primary key,
          level integer not null,
          object text not null,
          created_at integer not null,
          suspended integer not null default 0,
          password text not null,
          password_at integer not null,
          previous text,
          previous_at integer,
          previous_until integer
        );
        create index credential_object on credential (level, object, name);
        create index credential_suspended on credential (name) where suspended <> 0;
        create index credential_previous on credential (previous_until) where previous is not null;

        -- Written in batches a while after the event. Kind: login or uid. Addresses: the last ones, newest first, one a line.
        create table identity_use (
          kind text not null,
          name text not null,
          uses integer not null,
          failures integer not null,
          last_use integer,
          last_failure integer,
          addresses text not null,
          primary key (kind, name)
        ) without rowid;

        -- Salt: from which the salts of passwords are made, so that a login that does not exist has one as well, and keeps it.
        create table secret (
          name text not null primary key,
          value blob not null
        ) without rowid;
        insert into secret (name, value) values ('salt', randomblob(32));

        """;
}
