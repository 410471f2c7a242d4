using System.Net;
using System.Text.Json.Nodes;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>
/// A hosting server as customers know it, in network namespaces with documentation addresses: the gateway and its clients in one,
/// receiving MX hosts and a DNS server (nsd) in another. Two subscriptions with addresses of their own; everything else is the server's.
/// </summary>
public sealed class HostedServer : IAsyncLifetime
{
    public const string ServerIPv4 = "203.0.113.10", ServerIPv6 = "2001:db8::10";
    public const string AcmeIPv4 = "203.0.113.11", AcmeIPv6 = "2001:db8::11";
    public const string BetaIPv4 = "203.0.113.12";

    /// <summary>System user of acme: a name that every Debian has.</summary>
    public const string AcmeUser = "www-data";

    /// <summary>System user of beta: a number without a name.</summary>
    public const string BetaUser = "#64217";

    /// <summary>What a machine must have for it.</summary>
    public static IReadOnlyList<string> Needs { get; } = [Programs.Namespaces, "nsd", "setpriv"];

    private const string Zone = """
        $ORIGIN .
        $TTL 60
        . SOA ns.example. hostmaster.example. 1 3600 600 86400 60
        . NS ns.example.
        ns.example. A 203.0.113.53
        example.com. MX 10 mx1.example.com.
        mx1.example.com. A 203.0.113.201
        prefer.example. MX 20 mx1.example.com.
        prefer.example. MX 10 dead.prefer.example.
        dead.prefer.example. A 203.0.113.209
        second.example. MX 10 mx2.example.com.
        mx2.example.com. A 203.0.113.202
        null.example. MX 0 .
        implicit.example. A 203.0.113.202
        six.example. MX 10 mx.six.example.
        mx.six.example. AAAA 2001:db8::202
        both.example. MX 10 mx.both.example.
        mx.both.example. A 203.0.113.202
        mx.both.example. AAAA 2001:db8::202
        loop.example. MX 10 localhost.loop.example.
        localhost.loop.example. A 127.0.0.1
        empty.example. TXT "neither MX nor address"
        half-dead.example. MX 10 dead.prefer.example.
        half-dead.example. MX 10 mx2.example.com.
        alias.example. CNAME second.example.
        aliased-mx.example. MX 10 mx.aliased-mx.example.
        mx.aliased-mx.example. CNAME mx2.example.com.
        chain.example. CNAME chain2.example.
        chain2.example. CNAME aliased-mx.example.
        ghost.example. MX 5 mx.ghost.example.
        ghost.example. MX 10 mx2.example.com.
        dead-six.example. MX 5 mx.dead-six.example.
        dead-six.example. MX 10 mx2.example.com.
        mx.dead-six.example. AAAA 2001:db8::209
        lop-sided.example. MX 5 mx.lop-sided.example.
        mx.lop-sided.example. AAAA 2001:db8::209
        mx.lop-sided.example. A 203.0.113.202
        UPPER.example. MX 10 MX2.Example.COM.
        wordy.example. MX 10 mx2.example.com.
        lame.example. NS ns.lame.example.
        ns.lame.example. A 203.0.113.209
        loop-cname.example. CNAME loop-cname2.example.
        loop-cname2.example. CNAME loop-cname.example.
        """;

    /// <summary>Records that are many: 300 MX hosts, of which all but the preferred one are dead, and 20 KB of text.</summary>
    private static string LongZone => string.Concat(Enumerable.Range(0, 300).Select(i => $"many.example. MX {(i == 150 ? 1 : 10 + i)} {(i == 150 ? "mx2.example.com." : $"mx{i}.many.example.")}\n"
        + $"mx{i}.many.example. A 203.0.113.209\nwordy.example. TXT \"{i} {new string('x', 200)}\"\n"
        + (i < 100 ? $"_mta-sts.wordy.example. TXT \"{i} {new string('x', 200)}\"\n_smtp._tls.wordy.example. TXT \"{i} {new string('x', 200)}\"\n" : "")));

    private NetworkNamespace? _inside;
    private NetworkNamespace? _outside;
    private BackgroundProgram? _dns;

    public GatewayProcess Gateway { get; private set; } = null!;

    /// <summary>The MX host of example.com, 203.0.113.201.</summary>
    public SinkServer Mx1 { get; private set; } = null!;

    /// <summary>The MX host of second.example, 203.0.113.202.</summary>
    public SinkServer Mx2 { get; private set; } = null!;

    /// <summary>The same host by IPv6, 2001:db8::202.</summary>
    public SinkServer Mx2Six { get; private set; } = null!;

    public NetworkNamespace Inside => _inside!;

    public async Task InitializeAsync()
    {
        if (Programs.Missing(Needs) is not null)
            return; // The tests that use it are skipped for the same reason.
        _inside = await NetworkNamespace.CreateAsync();
        _outside = await NetworkNamespace.CreateAsync();
        await NetworkNamespace.ConnectAsync(
            _inside, ["203.0.113.10/24", "203.0.113.11/24", "203.0.113.12/24", "2001:db8::10/64", "2001:db8::11/64"],
            _outside, ["203.0.113.53/24", "203.0.113.201/24", "203.0.113.202/24", "203.0.113.209/24", "2001:db8::202/64"]);
        Mx1 = SinkServer.Start(new IPEndPoint(IPAddress.Parse("203.0.113.201"), 25), _outside);
        Mx2 = SinkServer.Start(new IPEndPoint(IPAddress.Parse("203.0.113.202"), 25), _outside);
        Mx2Six = SinkServer.Start(new IPEndPoint(IPAddress.Parse("2001:db8::202"), 25), _outside);

        Gateway = new GatewayProcess("mx", _inside);
        await StartDnsAsync();
        Gateway.Settings["Postmaster"] = "postmaster@second.example";
        Gateway.Settings["Egress"] = new JsonObject { ["IPv4"] = ServerIPv4, ["IPv6"] = ServerIPv6 };
        Gateway.Settings["Delivery"]!["Resolver"] = "203.0.113.53:53";
        await Gateway.StartAsync();
        await Gateway.AddShopAsync("--ipv4", AcmeIPv4, "--ipv6", AcmeIPv6, "--system-user", AcmeUser, "--contact", "owner@example.com");
        await Gateway.CliAsync("subscription", "add", "beta", "--plan", "basic", "--ipv4", BetaIPv4, "--system-user", BetaUser);
        await Gateway.CliAsync("domain", "add", "blog.test", "--subscription", "beta");
        await Gateway.CliAsync("ip", "set", AcmeIPv4, "--helo", "mail.shop.test");
    }

    /// <summary>The words that run a command as a system user, given by name or as #UID.</summary>
    public static string[] As(string user) =>
        ["setpriv", "--reuid", user.TrimStart('#'), "--regid", user.StartsWith('#') ? user[1..] : user, "--clear-groups"];

    /// <summary>
    /// Runs a command on the server, in a mount namespace where RelayGate is installed as the README says:
    /// the commands in /usr/local/bin, the sockets in /run/relaygate.
    /// </summary>
    public Task<ProgramResult> RunAsync(params string[] command) => RunAsync("", command);

    public Task<ProgramResult> RunAsync(string input, string[] command) => new ProgramRun([
        .. Inside.Inside("sh", "-ec"),
        """
        mount -t tmpfs none /usr/local/bin; ln -s "$1" /usr/local/bin/relaygate-sendmail
        mount -t tmpfs none /run; ln -s "$2" /run/relaygate; chmod 755 /run /usr/local/bin
        shift 2; exec "$@"
        """,
        "sh", Repository.Sendmail, Gateway.Folder.FullName, .. command])
    {
        InputText = input,
    }.RunAsync();

    /// <summary>A file of the checkout where every user can read it.</summary>
    public string Readable(string file)
    {
        string copy = Gateway.Folder[Path.GetFileName(file)];
        File.Copy(file, copy, overwrite: true);
        File.SetUnixFileMode(copy, TestFolder.Traversable);
        return copy;
    }

    public async Task DisposeAsync()
    {
        if (Gateway is not null)
            await Gateway.DisposeAsync();
        if (_dns is not null)
            await _dns.DisposeAsync();
        foreach (SinkServer? sink in new[] { Mx1, Mx2, Mx2Six })
        {
            if (sink is not null)
                await sink.DisposeAsync();
        }
        foreach (NetworkNamespace? ns in new[] { _inside, _outside })
        {
            if (ns is not null)
                await ns.DisposeAsync();
        }
    }

    private async Task StartDnsAsync()
    {
        TestFolder folder = Gateway.Folder;
        folder.Write("zone", Zone + "\n" + LongZone);
        _dns = await NameServer.StartAsync(_outside!, folder, "203.0.113.53", (".", "zone"), ("servfail.example.", "missing"));
    }
}
