using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>
/// A gateway whose resolver is a validating one (unbound) and which trusts it, before a signed tree of zones (nsd, signed by ldns): good and wrong TLSA
/// records, a zone without signatures, and one that was changed after it was signed.
/// </summary>
public sealed class SignedZones : IAsyncLifetime
{
    private NetworkNamespace? _inside, _outside;
    private BackgroundProgram? _server, _resolver;
    private X509Certificate2? _certificate;

    /// <summary>What a machine must have for it.</summary>
    public static IReadOnlyList<string> Needs { get; } = [Programs.Namespaces, "nsd", "unbound", "ldns-signzone"];

    public GatewayProcess Gateway { get; private set; } = null!;

    /// <summary>The MX host of every domain, 203.0.113.201, with a certificate of its own making.</summary>
    public SinkServer Mx { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        if (Programs.Missing(Needs) is not null)
            return; // The tests that use it are skipped for the same reason.
        _inside = await NetworkNamespace.CreateAsync();
        _outside = await NetworkNamespace.CreateAsync();
        await NetworkNamespace.ConnectAsync(_inside, ["203.0.113.10/24"], _outside, ["203.0.113.53/24", "203.0.113.201/24"]);
        Gateway = new GatewayProcess("mx", _inside);
        _certificate = SelfSigned();
        Mx = SinkServer.Start(new IPEndPoint(IPAddress.Parse("203.0.113.201"), 25), _outside);
        Mx.Certificate = _certificate;
        string anchor = await WriteZonesAsync(Convert.ToHexString(SHA256.HashData(_certificate.PublicKey.ExportSubjectPublicKeyInfo())));
        _server = await NameServer.StartAsync(_outside, Gateway.Folder, "203.0.113.53", (".", "root.signed"), ("unsigned.test.", "unsigned"), ("forged.test.", "forged.signed"));
        await StartResolverAsync(anchor);
        Gateway.Settings["Egress"] = new JsonObject { ["IPv4"] = "203.0.113.10" };
        Gateway.Settings["Delivery"]!["Resolver"] = "127.0.0.1:53";
        Gateway.Settings["Delivery"]!["ResolverTrusted"] = true;
        await Gateway.StartAsync();
        await Gateway.AddShopAsync("--system-user", HostedServer.AcmeUser);
    }

    public async Task DisposeAsync()
    {
        if (Gateway is not null)
            await Gateway.DisposeAsync();
        foreach (BackgroundProgram? program in new[] { _resolver, _server })
        {
            if (program is not null)
                await program.DisposeAsync();
        }
        if (Mx is not null)
            await Mx.DisposeAsync();
        _certificate?.Dispose();
        foreach (NetworkNamespace? ns in new[] { _inside, _outside })
        {
            if (ns is not null)
                await ns.DisposeAsync();
        }
    }

    /// <returns>The key of the root, which the resolver is given.</returns>
    private async Task<string> WriteZonesAsync(string hash)
    {
        const string soa = "SOA ns.test. hostmaster.test. 1 3600 600 86400 60";
        string wrong = new('0', 64);
        TestFolder folder = Gateway.Folder;
        folder.Write("unsigned", $"""
            $ORIGIN unsigned.test.
            $TTL 60
            @ {soa}
            @ NS ns.test.
            @ MX 10 mx
            mx A 203.0.113.201
            _25._tcp.mx TLSA 3 1 1 {wrong}

            """);
        folder.Write("forged", $"""
            $ORIGIN forged.test.
            $TTL 60
            @ {soa}
            @ NS ns.test.
            @ MX 10 mx
            mx A 203.0.113.200

            """);
        string forged = await SignAsync("forged", "forged.test.");
        string signed = File.ReadAllText(folder["forged.signed"]);
        Assert.Contains("203.0.113.200", signed, StringComparison.Ordinal);
        folder.Write("forged.signed", signed.Replace("203.0.113.200", "203.0.113.201", StringComparison.Ordinal)); // Its signature does not fit any more.
        folder.Write("root", $"""
            $ORIGIN .
            $TTL 60
            . {soa}
            . NS ns.test.
            ns.test. A 203.0.113.53
            good.test. MX 10 mx.good.test.
            mx.good.test. A 203.0.113.201
            _25._tcp.mx.good.test. TLSA 3 1 1 {hash}
            wrong.test. MX 10 mx.wrong.test.
            mx.wrong.test. A 203.0.113.201
            _25._tcp.mx.wrong.test. TLSA 3 1 1 {wrong}
            alias.test. MX 10 mx.alias.test.
            mx.alias.test. CNAME mx.wrong.test.
            plain.test. MX 10 mx.plain.test.
            mx.plain.test. A 203.0.113.201
            unsigned.test. NS ns.test.
            forged.test. NS ns.test.
            {File.ReadAllText(folder[forged + ".ds"]).Trim()}

            """);
        return folder[await SignAsync("root", ".") + ".key"];
    }

    /// <returns>The base name of the key's files.</returns>
    private async Task<string> SignAsync(string file, string zone)
    {
        string folder = Gateway.Folder.FullName;
        string key = (await new ProgramRun("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone) { WorkingDirectory = folder }.RunAsync()).ShouldSucceed().Output.Trim();
        (await new ProgramRun("ldns-signzone", "-o", zone, file, key) { WorkingDirectory = folder }.RunAsync()).ShouldSucceed();
        return key;
    }

    private async Task StartResolverAsync(string anchor)
    {
        TestFolder folder = Gateway.Folder;
        folder.Write("hints", ". 3600000 NS ns.test.\nns.test. 3600000 A 203.0.113.53\n");
        string configuration = folder.Write("unbound.conf", $"""
            server:
              interface: 127.0.0.1
              port: 53
              do-daemonize: no
              chroot: ""
              username: ""
              directory: "{folder.FullName}"
              pidfile: "{folder["unbound.pid"]}"
              use-syslog: no
              logfile: ""
              verbosity: 1
              module-config: "validator iterator"
              trust-anchor-file: "{anchor}"
              root-hints: "{folder["hints"]}"
              local-zone: "test." nodefault
              qname-minimisation: no
            remote-control:
              control-enable: no

            """);
        string[] command = _inside!.Inside("unbound", "-d", "-p", "-c", configuration);
        _resolver = BackgroundProgram.Start(command[0], command[1..], folder.FullName);
        await _resolver.SaysAsync("start of service", TimeSpan.FromSeconds(10));
    }

    private static X509Certificate2 SelfSigned()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        var request = new CertificateRequest("CN=mx.good.test", key, HashAlgorithmName.SHA256);
        return request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
    }
}
