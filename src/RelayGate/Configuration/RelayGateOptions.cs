using System.Collections.Immutable;
using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Reports;
using RelayGate.Core.Tls;

namespace RelayGate.Configuration;

/// <summary>All options under "RelayGate" in appsettings.json, with their defaults. Paths are absolute once loaded.</summary>
public sealed class RelayGateOptions
{
    /// <summary>Our name in the greeting, the trace field and a DSN's Reporting-MTA. Default: the host's own name.</summary>
    public string Hostname { get; set; } = "";

    /// <summary>Address that gets mail for unqualified recipients of system users without a contact; empty gives a warning at start.</summary>
    public string Postmaster { get; set; } = "";

    /// <summary>Folder of the store, 0700 and ours.</summary>
    public string DataDirectory { get; set; } = "/var/lib/relaygate";

    public IList<ListenerOptions> Listeners { get; set; } = [];

    public CertificateOptions Certificate { get; set; } = new();

    public AdminOptions Admin { get; set; } = new();

    public EgressOptions Egress { get; set; } = new();

    public SenderOptions Sender { get; set; } = new();

    public DeliveryOptions Delivery { get; set; } = new();

    public SessionOptions Sessions { get; set; } = new();

    public LoginOptions Logins { get; set; } = new();

    /// <summary>Largest message in octets. Default 50 MiB; 64 KiB to 1 GiB.</summary>
    public long MaxMessageOctets { get; set; } = 52_428_800;

    /// <summary>Largest number of recipients of one message. Default 1000; at least 100 (RFC 5321 §4.5.3.1.8).</summary>
    public int MaxRecipients { get; set; } = 1000;

    public LimitOptions Limits { get; set; } = new();

    public NoticeOptions Notices { get; set; } = new();

    public ClassOptions Classes { get; set; } = new();

    public ReportOptions Reports { get; set; } = new();

    public DsnOptions Dsn { get; set; } = new();

    public RetentionOptions Retention { get; set; } = new();

    public ScriptOptions Scripts { get; set; } = new();

    public StorageOptions Storage { get; set; } = new();
}

/// <summary>Whether and how a listener speaks TLS.</summary>
public enum ListenerTls
{
    /// <summary>No TLS; AUTH is allowed. For loopback and unix sockets.</summary>
    None,

    /// <summary>STARTTLS; AUTH only after it.</summary>
    StartTls,

    /// <summary>TLS from the first octet (RFC 8314 §3.3).</summary>
    Implicit,
}

public sealed class ListenerOptions
{
    public string Name { get; set; } = "";

    /// <summary><c>ip:port</c>, <c>[ipv6]:port</c> or <c>unix:/path</c>.</summary>
    public string Endpoint { get; set; } = "";

    public ListenerTls Tls { get; set; } = ListenerTls.None;

    /// <summary>Rules for connections that arrive on loopback at a StartTls listener: None (default) or StartTls.</summary>
    public ListenerTls LoopbackTls { get; set; } = ListenerTls.None;
}

public sealed class CertificateOptions
{
    /// <summary>PEM file with the certificate chain; reloaded on change.</summary>
    public string? Path { get; set; }

    /// <summary>PEM file with the private key.</summary>
    public string? KeyPath { get; set; }
}

public sealed class AdminOptions
{
    /// <summary>HTTP for /healthz/* and /metrics; null: none.</summary>
    public string? Endpoint { get; set; } = "127.0.0.1:8587";

    /// <summary>Control socket of the command line.</summary>
    public string Socket { get; set; } = "/run/relaygate/control.sock";

    /// <summary>System group whose members administrate.</summary>
    public string? Group { get; set; } = "relaygate";
}

/// <summary>What happens when the egress choice lacks the family of the destination, or any address at all.</summary>
public enum MissingFamilyMode
{
    /// <summary>Use the server's address of that family.</summary>
    Server,

    /// <summary>Wait.</summary>
    Defer,
}

/// <summary>How the local address is chosen.</summary>
public enum EgressMode
{
    /// <summary>The domain's or subscription's own addresses.</summary>
    Exclusive,

    /// <summary>All mail from <see cref="EgressOptions.IPv4"/> and <see cref="EgressOptions.IPv6"/>.</summary>
    Explicit,
}

/// <summary>Which name is said in EHLO.</summary>
public enum EgressGreeting
{
    /// <summary>That of the address: forward and reverse DNS of one address can agree with one name.</summary>
    Address,

    /// <summary>The sender's domain, where mail leaves from an address of its subscription; else that of the address.</summary>
    Domain,
}

public sealed class EgressOptions
{
    public EgressMode Mode { get; set; } = EgressMode.Exclusive;

    /// <summary>The server's IPv4 address; null: the system's choice.</summary>
    public string? IPv4 { get; set; }

    /// <summary>The server's IPv6 address; null: the system's choice.</summary>
    public string? IPv6 { get; set; }

    public MissingFamilyMode MissingFamily { get; set; } = MissingFamilyMode.Defer;

    public MissingFamilyMode NoAddress { get; set; } = MissingFamilyMode.Server;

    public EgressGreeting Greeting { get; set; } = EgressGreeting.Address;

    /// <summary>False: nothing leaves by IPv6, but for subscriptions for which it is switched on.</summary>
    public bool IPv6Enabled { get; set; } = true;

    /// <summary>Whom <c>ip probe</c> asks which address it sees: <c>smtp://host:port</c> or <c>stun://host:port</c>; null: nobody.</summary>
    public string? Probe { get; set; }
}

public sealed class SenderOptions
{
    public SenderMode Login { get; set; } = SenderMode.Correct;

    public SenderMode Local { get; set; } = SenderMode.Trust;

    public SenderMode Network { get; set; } = SenderMode.Trust;

    /// <summary>What is done with a header From that does not belong to the identity.</summary>
    public HeaderFromMode HeaderFrom { get; set; } = HeaderFromMode.Off;

    /// <summary>Which addresses belong to a mailbox that logs in.</summary>
    public OwnedAddresses Owned { get; set; } = OwnedAddresses.Aliases;
}

/// <summary>What is done with 8-bit content when the next hop lacks 8BITMIME.</summary>
public enum EightBitMode
{
    /// <summary>Send it unchanged.</summary>
    Send,

    /// <summary>Fail with 5.6.3.</summary>
    Bounce,
}

public sealed class SessionOptions
{
    /// <summary>Sessions at once.</summary>
    public int Max { get; set; } = 2000;

    /// <summary>Sessions of one client address; not for loopback and unix sockets.</summary>
    public int PerAddress { get; set; } = 500;

    /// <summary>Sessions of one identity.</summary>
    public int PerIdentity { get; set; } = 50;

    /// <summary>Wait for the next command or block of data.</summary>
    public TimeSpan Idle { get; set; } = TimeSpan.FromMinutes(5);
}

/// <summary>What is done about passwords that are guessed.</summary>
public sealed class LoginOptions
{
    /// <summary>Failed logins of one address, or of one login, after which it is refused. Default 30; 5 to 100,000.</summary>
    public int FailuresBeforeRefusal { get; set; } = 30;

    /// <summary>How long it is refused. Default 15 min; 1 min to 1 day.</summary>
    public TimeSpan RefusalTime { get; set; } = TimeSpan.FromMinutes(15);
}

public sealed class LimitOptions
{
    /// <summary>Off: everything is counted, nothing is refused.</summary>
    public bool Enforce { get; set; } = true;

    /// <summary>Percent of a limit from which on it is warned of; 0: never. Default 80.</summary>
    public int WarnAt { get; set; } = 80;

    public LimitDefaults Defaults { get; set; } = new();

    /// <summary>What happens above a limit that says nothing of it itself.</summary>
    public LimitActions Over { get; set; } = new();
}

/// <summary>The default action above a limit, by level.</summary>
public sealed class LimitActions
{
    public OverLimitAction Mailbox { get; set; }

    public OverLimitAction Domain { get; set; }

    public OverLimitAction Subscription { get; set; }

    public OverLimitAction Plan { get; set; }

    public OverLimitAction Server { get; set; }
}

/// <summary>How the limits treat mail of one class.</summary>
public enum ClassTreatment
{
    /// <summary>Counted and limited like any other.</summary>
    Count,

    /// <summary>Counted, never limited.</summary>
    Exempt,
}

/// <summary>How each class of mail is treated; all are counted.</summary>
public sealed class ClassOptions
{
    private readonly ClassTreatment[] _treatments = new ClassTreatment[MessageClasses.Count];

    public ClassTreatment this[MessageClass messageClass]
    {
        get => _treatments[(int)messageClass];
        set => _treatments[(int)messageClass] = value;
    }
}

/// <summary>Limits of objects that have none of their own and inherit none.</summary>
public sealed class LimitDefaults
{
    public string Mailbox { get; set; } = "100/h";

    public string Domain { get; set; } = "200/h";

    public string Subscription { get; set; } = "400/h";

    public string Plan { get; set; } = "unlimited";

    public string Server { get; set; } = "unlimited";
}

/// <summary>Who is told, by mail, when a limit is reached, a script bursts, passwords are guessed, somebody is suspended.</summary>
public sealed class NoticeOptions
{
    /// <summary>Address that is told of everything; null: <see cref="RelayGateOptions.Postmaster"/>; "": nobody.</summary>
    public string? Administrator { get; set; }

    /// <summary>The From address of notices; null: relaygate@ our <see cref="RelayGateOptions.Hostname"/>.</summary>
    public string? From { get; set; }

    /// <summary>A receiver gets at most one digest in this time. Default 1 h; 1 min to 7 days.</summary>
    public TimeSpan Period { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Kinds the administrator is told of: <c>all</c>, <c>none</c> or words with commas.</summary>
    public string AdministratorKinds { get; set; } = "all";

    /// <summary>Kinds a subscription's contact is told of, when they are about what is the subscription's.</summary>
    public string OwnerKinds { get; set; } = "all";
}

/// <summary>Delivery status notifications to senders (RFC 3464).</summary>
public sealed class DsnOptions
{
    /// <summary>Octets of a message that a report of its failure returns at most; a larger one comes back as its header section. Default 50 KiB; 1 KiB to 1 MiB.</summary>
    public int MaxReturned { get; set; } = DsnComposer.DefaultMaxReturnedOctets;

    /// <summary>Reports that one sender's address gets within an hour; beyond, a failure is recorded alone. Default 200; 0: no bound.</summary>
    public int PerSender { get; set; } = 200;

    /// <summary>Reports within an hour about mail of one subscription to addresses that are not hosted here. Default 100; 0: no bound.</summary>
    public int Backscatter { get; set; } = 100;
}

/// <summary>What reports cover.</summary>
public sealed class ReportOptions
{
    /// <summary>The period of a report, and of <c>status</c>, where none is given. It changes what is shown, never what is stored.</summary>
    public ReportPeriod Period { get; set; } = ReportPeriod.Day;
}

/// <summary>When a local script or program is said to send much more than it usually does.</summary>
public sealed class ScriptOptions
{
    /// <summary>Messages within <see cref="BurstWindow"/> that are never said to be too many.</summary>
    public int BurstMessages { get; set; } = 100;

    /// <summary>Whole minutes.</summary>
    public TimeSpan BurstWindow { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How many times its busiest hour of the last seven days (its share for <see cref="BurstWindow"/>) a script must send as well.</summary>
    public int BurstFactor { get; set; } = 3;
}

public sealed class RetentionOptions
{
    /// <summary>How long decision records are kept.</summary>
    public TimeSpan Decisions { get; set; } = TimeSpan.FromDays(31);

    /// <summary>How long the hourly history is kept, from which reports are made. Default 62 days: two months to compare; at least 31 days.</summary>
    public TimeSpan History { get; set; } = TimeSpan.FromDays(62);

    /// <summary>How long the content of failed messages is kept.</summary>
    public TimeSpan FailedContent { get; set; } = TimeSpan.FromDays(3);
}

public sealed class StorageOptions
{
    /// <summary>Sqlite; PostgreSQL is to come.</summary>
    public string Provider { get; set; } = "Sqlite";

    public string? ConnectionString { get; set; }

    /// <summary>Free octets on the file system below which submission answers 452. Default 256 MiB.</summary>
    public long MinimumFree { get; set; } = 268_435_456;
}
