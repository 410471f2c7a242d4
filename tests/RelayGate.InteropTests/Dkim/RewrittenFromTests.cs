using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Dkim;

/// <summary>Authors who are not the sender's are rewritten on the way; what arrives is judged by dkimpy and OpenDKIM, and read by Python.</summary>
public sealed class RewrittenFromTests
{
    private const string Rest = "\r\nTo: ann@example.com\r\nSubject: x\r\n\r\nHello\r\n";

    private static readonly (string Name, string From, string Shown)[] Authors =
    [
        ("name", "Ann Public <ann@bank.example>", "Ann Public"),
        ("bare", "ann@bank.example", ""),
        ("quoted", "\"Public, Ann (the \\\"boss\\\")\" <ann@bank.example>", "Public, Ann (the \"boss\")"),
        ("encoded", "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <j@bank.example>", "J\u00fcrgen M\u00fcller"),
        ("folded", "\r\n\t=?utf-8?Q?J=C3=BCrgen?=\r\n <j@bank.example>", "J\u00fcrgen"),
        ("comment", "ann@bank.example (Ann Public)", "Ann Public"),
        ("group", "The Team: ann@bank.example, bob@bank.example;", "The Team"),
        ("list", "Ann <ann@bank.example>, Bob <bob@bank.example>", "Ann"),
        ("address-as-name", "ann@bank.example <ann@bank.example>", "ann@bank.example"),
        ("hidden-address", "=?utf-8?Q?x_=3Cceo=40bank.example=3E?= <ann@bank.example>", ""),
    ];

    /// <summary>The one From field as a program of receivers reads it: name, address; and where an answer goes.</summary>
    private const string Reader = """
        import email, email.policy, glob, os, sys
        os.chdir(sys.argv[1])
        for f in sorted(glob.glob('*.eml')):
            m = email.message_from_bytes(open(f, 'rb').read(), policy=email.policy.default)
            froms = m.get_all('From')
            a = froms[0].addresses[0]
            print(f[:-4], len(froms), len(froms[0].addresses), a.addr_spec, ','.join(x.addr_spec for x in m['Reply-To'].addresses), a.display_name, sep='|')
        """;

    [InteropFact(Programs.DkimPy, "opendkim")]
    public async Task Both_judges_verify_a_rewritten_author_with_the_key_of_his_domain()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("domain", "set", "shop.test", "--header-from", "rewrite");
        using var folder = new TestFolder();
        await DkimJudges.CreateKeyAsync(gateway, folder);

        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        foreach ((string name, string from, string _) in Authors)
        {
            string? end = await dialog.SendAsync("info@shop.test", name + "@example.com", $"From: {from}{Rest}"[..^2]);
            Assert.True(end?.StartsWith("250 ", StringComparison.Ordinal), $"{name}: {end}");
        }
        foreach (SinkMessage message in await sink.ReceiveAsync(static _ => true, Authors.Length))
        {
            await File.WriteAllBytesAsync(folder[message.Recipients[0].Split('@')[0].Trim('<') + ".eml"], message.Data);
            Assert.Equal("<info@shop.test>", message.ReversePath);
            Assert.Contains(" d=shop.test;", message.Field("DKIM-Signature"), StringComparison.Ordinal);
            Assert.Equal("Hello\r\n", message.Body);
        }

        Assert.Empty((await DkimJudges.DkimPyAsync(folder)).Where(static v => v.Value != "True").Select(static v => $"{v.Key}: {v.Value}"));
        Assert.Empty((await DkimJudges.OpenDkimAsync(folder)).Where(static v => v.Value != "succeeded").Select(static v => $"{v.Key}: {v.Value}"));
        string read = (await new ProgramRun(Programs.Python, "-c", Reader, folder.FullName).RunAsync()).ShouldSucceed().Output;
        Assert.Equal(
            Authors.Select(static a => $"{a.Name}|1|1|info@shop.test|{Replies(a.From)}|{a.Shown}").Order(StringComparer.Ordinal),
            read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    private static string Replies(string from) => from.Contains("bob@", StringComparison.Ordinal) ? "ann@bank.example,bob@bank.example"
        : from.Contains("<j@", StringComparison.Ordinal) ? "j@bank.example" : "ann@bank.example";
}
