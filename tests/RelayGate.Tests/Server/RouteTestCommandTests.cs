using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Configuration;
using RelayGate.Core.Tls;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary><c>route test</c> tells what an attempt would do, TLS included.</summary>
public sealed class RouteTestCommandTests
{
    [Fact]
    public async Task The_TLS_policy_is_that_of_an_attempt_and_the_origin_the_real_one()
    {
        using var folder = new TempFolder();
        using var authority = new TestAuthority();
        await using var dns = new FakeDns { Authentic = true };
        await using var policyHost = new FakePolicyHost { Certificate = authority.Serve(authority.Issue(["mta-sts.sts.test"])), Policy = "version: STSv1\nmode: enforce\nmx: mx.sts.test\nmax_age: 604800\n" };
        dns.Mx("dane.test", 10, "mx.dane.test").A("mx.dane.test", "127.0.0.51").Tlsa("_2525._tcp.mx.dane.test", 3, 1, 1, new byte[32]);
        dns.Mx("sts.test", 10, "mx.sts.test").A("mx.sts.test", "127.0.0.52").A("mta-sts.sts.test", "127.0.0.1").Txt("_mta-sts.sts.test", "v=STSv1; id=1;");
        dns.Mx("sts.test", 20, "other.sts.test").A("other.sts.test", "127.0.0.53");
        dns.Mx("plain.test", 10, "mx.plain.test").A("mx.plain.test", "127.0.0.54");
        dns.Mx("strict.test", 10, "mx.plain.test");
        await using TestGateway gateway = await TestGateway.StartAsync("mx", o =>
        {
            o.Delivery.AllowLoopback = true;
            o.Delivery.MxPort = 2525;
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.ResolverTrusted = true;
            o.Delivery.Tls.MtaStsPort = policyHost.Port;
            o.Delivery.Tls.AuthoritiesPath = authority.WriteRoot(folder.Path);
        });
        var relaygate = new CommandRun(gateway.ControlSocket);
        await relaygate.OkAsync("route set to strict.test --next-hop mx --tls verify");

        JsonNode dane = await TestAsync("dane.test"), sts = await TestAsync("sts.test"), plain = await TestAsync("plain.test"), strict = await TestAsync("strict.test");

        Assert.Equal(["dane"], Tls(dane));
        Assert.Equal("sts", Tls(sts)[0]);
        Assert.Contains("not among the hosts that the MTA-STS policy", (string?)sts["stops"]![1]!["whyNot"], StringComparison.Ordinal);
        Assert.Equal(["may"], Tls(plain));
        Assert.Equal(["verify"], Tls(strict));
        Assert.Equal(("default", "stored"), ((string?)plain["route"]!["origin"], (string?)strict["route"]!["origin"]));

        async Task<JsonNode> TestAsync(string domain) => JsonNode.Parse(await relaygate.OkAsync($"route test {domain} --json"))!;
    }

    [Fact]
    public async Task What_holds_for_a_provider_is_told_of_each_of_its_hosts()
    {
        await using var dns = new FakeDns();
        dns.Mx("dest.test", 10, "mx.provone.test").Mx("dest.test", 20, "mx.provtwo.test").Mx("dest.test", 30, "mx.provthree.test");
        dns.A("mx.provone.test", "127.0.0.51").A("mx.provtwo.test", "127.0.0.52").Aaaa("mx.provthree.test", "::1");
        await using TestGateway gateway = await TestGateway.StartAsync("mx", o =>
        {
            o.Delivery.AllowLoopback = true;
            o.Delivery.MxPort = 2525;
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.Providers["provtwo.test"] = new ProviderOptions { Tls = TlsMode.Encrypt };
            o.Delivery.Providers["provthree.test"] = new ProviderOptions { IPv6 = false };
        });
        var relaygate = new CommandRun(gateway.ControlSocket);
        await relaygate.OkAsync("queue suspend --provider provtwo.test");

        JsonNode plan = JsonNode.Parse(await relaygate.OkAsync("route test dest.test --json"))!;
        await relaygate.OkAsync("queue suspend dest.test");
        string suspended = await relaygate.OkAsync("route test dest.test");

        Assert.Equal(["provone.test", "provtwo.test", "provthree.test"], plan["stops"]!.AsArray().Select(static s => (string?)s!["provider"]));
        Assert.Equal(["may", "encrypt", "may"], Tls(plan));
        Assert.Null((string?)plan["stops"]![0]!["whyNot"]);
        Assert.StartsWith("Delivery to provtwo.test is suspended by hand since", (string?)plan["stops"]![1]!["whyNot"], StringComparison.Ordinal);
        Assert.Equal("IPv6 is switched off for provider provthree.test", (string?)plan["stops"]![2]!["whyNot"]);
        Assert.Null((string?)plan["fault"]);
        Assert.Contains("Delivery to dest.test is suspended by hand since", suspended, StringComparison.Ordinal);
    }

    private static string[] Tls(JsonNode plan) => [.. plan["stops"]!.AsArray().Select(static s => (string)s!["tls"]!)];
}
