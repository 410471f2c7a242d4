namespace RelayGate.Accounts;

/// <summary>The tables of plans, subscriptions, domains, mailboxes, addresses, networks, limits and keys.</summary>
/// <remarks>
/// Names are in the form in which they are compared: lower case, domains as A-labels, mailboxes and addresses canonical. Every lookup on the way of
/// a message is by a primary key or a unique index. <c>level</c> and <c>each</c> are the numbers of <see cref="Core.Policy.Level"/>.
/// </remarks>
internal static class AccountSchema
{
    /// <summary>Runs once, when the store is created, after the tables of queue and records.</summary>
    public const string Ddl = """
        create table plan (
          name text not null primary key,
          suspended integer not null default 0
        );

        -- Owner: the one subscription that may use it; null for a shared address, and for an exclusive one that is not given yet. Draining: since when no
        -- new message chooses it.
        create table ip_address (
          address text not null primary key,
          helo text,
          shared integer not null,
          owner text references subscription (name),
          draining integer
        );
        create index ip_address_owner on ip_address (owner) where owner is not null;

        -- Since: when it was added, in milliseconds; records from before are those of another one that had the name.
        create table subscription (
          name text not null primary key,
          since integer not null default 0,
          plan text references plan (name),
          contact text,
          suspended integer not null default 0,
          sender_mode integer,
          header_from integer,
          owned integer,
          ipv6_egress integer,
          ipv4 text references ip_address (address),
          ipv6 text references ip_address (address)
        );
        create index subscription_plan on subscription (plan, name);
        create index subscription_suspended on subscription (name) where suspended <> 0;
        create index subscription_ipv4 on subscription (ipv4) where ipv4 is not null;
        create index subscription_ipv6 on subscription (ipv6) where ipv6 is not null;

        -- Seq says which domain of a subscription came first.
        create table domain (
          seq integer not null primary key,
          name text not null unique,
          subscription text not null references subscription (name),
          suspended integer not null default 0,
          sender_mode integer,
          header_from integer,
          owned integer,
          ipv4 text references ip_address (address),
          ipv6 text references ip_address (address)
        );
        create index domain_suspended on domain (name) where suspended <> 0;
        create index domain_subscription on domain (subscription, seq);
        create index domain_ipv4 on domain (ipv4) where ipv4 is not null;
        create index domain_ipv6 on domain (ipv6) where ipv6 is not null;

        -- Password: SCRAM-SHA-256 record (RFC 5803); null: nobody can log in. Password_at: when it was set, in milliseconds; never the same for two of one mailbox.
        create table mailbox (
          address text not null primary key,
          domain text not null references domain (name),
          suspended integer not null default 0,
          password text,
          password_at integer not null default 0
        );
        create index mailbox_suspended on mailbox (address) where suspended <> 0;
        create index mailbox_domain on mailbox (domain, address);

        -- Further addresses that a mailbox may send as, each no mailbox's own. Nobody logs in with one.
        create table alias (
          address text not null primary key,
          mailbox text not null references mailbox (address),
          domain text not null references domain (name)
        );
        create index alias_mailbox on alias (mailbox, address);
        create index alias_domain on alias (domain, address);

        -- Name and number must both still match; a name that begins with # has no entry in the system's user database.
        create table system_user (
          uid integer not null primary key,
          name text not null unique,
          subscription text not null references subscription (name),
          shared integer not null default 0,
          suspended integer not null default 0
        );
        create index system_user_suspended on system_user (name) where suspended <> 0;
        create index system_user_subscription on system_user (subscription, uid);
        create index system_user_shared on system_user (uid) where shared <> 0;

        create table network (
          cidr text not null primary key,
          subscription text references subscription (name),
          exempt integer not null default 0,
          trust_all integer not null default 0
        );
        create index network_subscription on network (subscription) where subscription is not null;

        -- Private keys in PEM: the reason why the file is 0600.
        create table dkim_key (
          domain text not null references domain (name),
          selector text not null,
          private_key text not null,
          created_at integer not null,
          primary key (domain, selector)
        );

        -- Each: -1 for the object's own cap, else the level of the objects below it that this is the default for. Class: -1 for all mail.
        -- What is null is inherited.
        create table object_limit (
          level integer not null,
          name text not null,
          each integer not null,
          class integer not null default -1,
          value text,
          action integer not null default 0,
          max_recipients integer,
          warn_at integer,
          enforce integer,
          primary key (level, name, each, class)
        );

        -- Until: of the usage clock.
        create table limit_boost (
          level integer not null,
          name text not null,
          class integer not null,
          amount integer not null,
          until integer not null,
          primary key (level, name, class)
        );

        create table setting (
          name text not null primary key,
          value text not null
        );

        insert into subscription (name) values ('system');
        insert into system_user (uid, name, subscription) values (0, 'root', 'system');
        insert into object_limit (level, name, each, value) values (2, 'system', -1, '200/h');

        """;
}
