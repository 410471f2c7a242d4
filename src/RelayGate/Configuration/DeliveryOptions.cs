using System.Collections.Immutable;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Tls;

namespace RelayGate.Configuration;

public sealed class DeliveryOptions
{
    /// <summary>Where mail goes that no route is for, as <see cref="NextHopText"/> has it.</summary>
    public string NextHop { get; set; } = "mx";

    /// <summary><see cref="NextHop"/>, read.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public ImmutableArray<ImmutableArray<SmarthostAddress>> ConfiguredNextHop => NextHopText.TryParse(NextHop, out var smarthosts)
        ? smarthosts.Value
        : throw new FormatException($"'{NextHop}' is no next hop: {NextHopText.Remedy}");

    /// <summary><c>ip:port</c> of a DNS server, or of up to three with commas; null: those of /etc/resolv.conf.</summary>
    public string? Resolver { get; set; }

    /// <summary>Whether the DNS servers validate DNSSEC and the way to them is safe, so that DANE may rest on their AD bit. Null (default): only those of
    /// /etc/resolv.conf, where it says <c>options trust-ad</c> and they are all on loopback.</summary>
    public bool? ResolverTrusted { get; set; }

    public TlsOptions Tls { get; set; } = new();

    public EightBitMode EightBit { get; set; } = EightBitMode.Send;

    /// <summary>Whether MX or A that point to loopback, unspecified or our own listeners may be dialled. A smarthost may always be on loopback.</summary>
    public bool AllowLoopback { get; set; }

    /// <summary>TCP port of MX hosts. Default 25.</summary>
    public int MxPort { get; set; } = 25;

    public RetryOptions Retry { get; set; } = new();

    public TimeoutOptions Timeouts { get; set; } = new();

    public ConnectionOptions Connections { get; set; } = new();

    /// <summary>Octets of queued messages in memory, waiting for their turn or in an attempt; what is more waits on disk. Default 64 MiB; 4 MiB to 16 GiB.</summary>
    public long MemoryOctets { get; set; } = 64L * 1024 * 1024;

    /// <summary>File of own rules on what replies mean (docs/reply-rules.md); they come before those of the build. Null: none.</summary>
    public string? ReplyRules { get; set; }

    /// <summary>What differs for one destination provider, by its name in the reply rules or the parent domain of its MX host (lower case).</summary>
    public Dictionary<string, ProviderOptions> Providers { get; } = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a provider's hosts are never reached by IPv6.</summary>
    internal bool HasIPv6Off(string provider) => Providers.TryGetValue(provider, out ProviderOptions? own) && own.IPv6 == false;
}

/// <summary>TLS with next hops.</summary>
public sealed class TlsOptions
{
    /// <summary>What is asked of every next hop: None, May, Encrypt, Verify or Dane. A recipient domain's own policy (DANE, MTA-STS) can only ask for more.</summary>
    public TlsMode Policy { get; set; } = TlsMode.May;

    /// <summary>Tls12 or Tls13.</summary>
    public TlsVersion MinimumVersion { get; set; } = TlsVersion.Tls12;

    /// <summary>Whether TLSA records are looked for and enforced (RFC 7672). Needs a trusted resolver.</summary>
    public bool Dane { get; set; } = true;

    /// <summary>Whether MTA-STS policies are looked for and enforced (RFC 8461).</summary>
    public bool MtaSts { get; set; } = true;

    /// <summary>Whether domains that ask for it are told each day how TLS with their mail servers went (RFC 8460).</summary>
    public bool Reports { get; set; } = true;

    /// <summary>PEM file with the authorities that certificates of next hops and policy hosts are verified with; null: the system's.</summary>
    public string? AuthoritiesPath { get; set; }

    /// <summary>TCP port of policy hosts. Default 443.</summary>
    public int MtaStsPort { get; set; } = 443;
}

/// <summary>Delivery to one destination provider; null: as for all.</summary>
public sealed class ProviderOptions
{
    /// <summary>Connections at once from one of our addresses. 1 to 20,000.</summary>
    public int? Connections { get; set; }

    /// <summary>False: never by IPv6. Null and true: as server and subscription have it.</summary>
    public bool? IPv6 { get; set; }

    /// <summary>What is asked of TLS: None, May, Encrypt, Verify or Dane.</summary>
    public TlsMode? Tls { get; set; }

    /// <summary>Messages after which a connection ends. 1 to 100,000.</summary>
    public int? MessagesPerConnection { get; set; }

    /// <summary>In place of <c>Delivery:Retry</c>.</summary>
    public RetryOverride? Retry { get; set; }
}

/// <summary>Times of the retry schedule that differ; null: as for all.</summary>
public sealed class RetryOverride
{
    public TimeSpan? First { get; set; }

    public TimeSpan? Longest { get; set; }

    public TimeSpan? GiveUpAfter { get; set; }
}

public sealed class RetryOptions
{
    /// <summary>The class of attempts that no reply has ended: no connection, one that was lost, or a time limit.</summary>
    public const string ConnectionClass = "connection";

    /// <summary>What may be a key of <see cref="Classes"/>.</summary>
    public static IEnumerable<string> ClassNames => ReplyClassNames.All.Skip(1).Append(ConnectionClass);

    /// <summary>Wait after the first failure. Default 1 min.</summary>
    public TimeSpan First { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Longest wait. Default 4 h.</summary>
    public TimeSpan Longest { get; set; } = TimeSpan.FromHours(4);

    /// <summary>Age at which the message fails. Default 4 days.</summary>
    public TimeSpan GiveUpAfter { get; set; } = TimeSpan.FromDays(4);

    /// <summary>Age from which on the sender hears, once, that a recipient is still being tried. Default 4 h; 0: never.</summary>
    public TimeSpan DelayNoticeAfter { get; set; } = TimeSpan.FromHours(4);

    /// <summary>What differs by what a refusal is about: one of <see cref="ClassNames"/>.</summary>
    public Dictionary<string, RetryOverride> Classes { get; } = new(StringComparer.OrdinalIgnoreCase);
}

public sealed class TimeoutOptions
{
    public TimeSpan Connect { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Wait for any reply but that to the final dot (RFC 5321 §4.5.3.2).</summary>
    public TimeSpan Reply { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Wait for the reply to the final dot, and for each block of mail data to be taken.</summary>
    public TimeSpan Data { get; set; } = TimeSpan.FromMinutes(10);
}

public sealed class ConnectionOptions
{
    /// <summary>Connections at once. 1 to 20,000, default 500.</summary>
    public int Total { get; set; } = 500;

    /// <summary>From one of our addresses. 1 to 20,000, default 250: none takes more than half of all.</summary>
    public int PerAddress { get; set; } = 250;

    /// <summary>To one address of a next hop. 1 to 20,000, default 250: none takes more than half of all.</summary>
    public int PerNextHop { get; set; } = 250;

    /// <summary>From one of our addresses to one of an MX host. 1 to 20,000, default 10.</summary>
    public int PerMx { get; set; } = 10;

    /// <summary>From one of our addresses to one of a smarthost. 1 to 20,000, default 100.</summary>
    public int PerSmarthost { get; set; } = 100;

    /// <summary>Messages after which a connection ends, so that load spreads anew over a next hop's machines. Default 1000.</summary>
    public int MessagesPerConnection { get; set; } = 1000;

    /// <summary>Recipients of one transaction; the others of a message follow in further ones (RFC 5321 §4.5.3.1.8: every server takes 100). Default 100.</summary>
    public int RecipientsPerTransaction { get; set; } = 100;

    /// <summary>How long an idle connection is kept: shorter than next hops wait, long enough for a burst. Default 10 s.</summary>
    public TimeSpan Idle { get; set; } = TimeSpan.FromSeconds(10);
}
