using System.Text.Json.Nodes;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>What an administrator types when an address is blocked.</summary>
public sealed class RefusalCommandTests
{
    private const string Refusal = "550 5.7.1 Unfortunately, messages from [192.0.2.10] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). See http://mail.live.com/mail/troubleshooting.aspx#errors.";

    [Fact]
    public async Task The_evidence_of_a_blocked_address_is_found_counted_and_explained()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "MAIL" && e.Line.Contains("info@shop.test", StringComparison.Ordinal) ? new HopAction.Raw(Refusal + "\r\n") : null };
        using var folder = new TempFolder();
        string rules = folder.File("rules.jsonl");
        await File.WriteAllTextAsync(rules, "# none yet\n");
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Delivery.ReplyRules = rules);
        var relaygate = new CommandRun(gateway.ControlSocket);
        foreach (string command in new[] { "subscription add acme --ipv4 127.0.0.11", "domain add shop.test --subscription acme", "mailbox add info@shop.test" })
            await relaygate.OkAsync(command);
        JsonNode made = JsonNode.Parse(await relaygate.OkAsync("sender create cron --domain shop.test --json"))!;
        string reference = (string)JsonNode.Parse(await relaygate.OkAsync($"send --server {gateway.Local} --login cron --from info@shop.test --password-stdin --to ann@example.net --json", (string)made["password"]!))!["ref"]!;
        JsonArray items = [];
        for (int i = 0; i < 50 && items.Count == 0; i++)
            items = JsonNode.Parse(await relaygate.OkAsync("message list --class ip-blocked --since 1d --json"))!["items"]!.AsArray();

        JsonNode group = JsonNode.Parse(await relaygate.OkAsync("message list --class ip-blocked --since 1d --group-by ip,provider,code --json"))!["items"]![0]!;
        string grouped = await relaygate.OkAsync("message list --reply blacklist,block --since 1d --group-by ip,provider");
        string byWords = await relaygate.OkAsync("message list --reply troubleshooting");
        string story = await relaygate.OkAsync($"message explain {reference}");
        string shown = await relaygate.OkAsync($"message show {reference}");

        Assert.Equal((reference, "S3140", "microsoft-block-list", "deferred"), ((string)items[0]!["ref"]!, (string)items[0]!["code"]!, (string)items[0]!["rule"]!, (string)items[0]!["result"]!));
        // What refused is the smarthost: the evidence and the pause name the same. Who is behind it the reply gives away.
        JsonNode paused = JsonNode.Parse(await relaygate.OkAsync("ip show 127.0.0.11 --json"))!["states"]![0]!;
        Assert.Equal(("paused", (string)paused["provider"]!, "S3140", 1), ((string)paused["state"]!, (string)group["provider"]!, (string)group["code"]!, (int)group["attempts"]!));
        Assert.Equal(("127.0.0.11", "127.0.0.1", "S3140", 1), ((string)group["ip"]!, (string)group["provider"]!, (string)group["code"]!, (int)group["attempts"]!));
        Assert.Contains("127.0.0.1", grouped, StringComparison.Ordinal);
        Assert.Contains(reference, await relaygate.OkAsync("message list --class ip-blocked --provider microsoft-consumer"), StringComparison.Ordinal);
        Assert.Contains(reference, await relaygate.OkAsync("message list --class ip-blocked --provider 127.0.0.1"), StringComparison.Ordinal);
        Assert.Contains(reference, byWords, StringComparison.Ordinal);
        Assert.Contains("because   ip-blocked by microsoft-consumer (S3140), see http://mail.live.com/mail/troubleshooting.aspx#errors [rule microsoft-block-list]", story, StringComparison.Ordinal);
        Assert.Contains("ip-blocked by microsoft-consumer", shown, StringComparison.Ordinal);
        Assert.Equal(2, (await relaygate.RunAsync("message list --class ip-blocked --outcome failed")).ExitCode);
        Assert.Equal(2, (await relaygate.RunAsync("message list --class blocked")).ExitCode);
        Assert.Equal(2, (await relaygate.RunAsync("message list --group-by colour")).ExitCode);

        await File.WriteAllTextAsync(rules, "{\"rule\":\"ours\",\"text\":\"teapot\",\"class\":\"rate\",\"samples\":[\"550 teapot\"]}\n");
        Assert.Contains("rules are in force", await relaygate.OkAsync("rules reload"), StringComparison.Ordinal);
        string tested = await relaygate.OkAsync("rules test --host mx.dest.test --stage mail -", "550-no coffee,\r\n550 only a teapot\r\n");
        Assert.Contains("ours", tested, StringComparison.Ordinal);
        Assert.Contains("dest.test", tested, StringComparison.Ordinal);
        Assert.Equal("relaygate: no provider is called nosuchprov; names: relaygate rules list; every other provider is a domain, which has a dot\n", (await relaygate.RunAsync("rules test --provider nosuchprov -", "450 x\n")).Error);
        Assert.Equal($"relaygate: {folder.File("none")}: there is no such file\n", (await relaygate.RunAsync($"rules check {folder.File("none")}")).Error);
        Assert.Equal($"relaygate: {folder.File("")}: this is a folder, and a file of rules is expected\n", (await relaygate.RunAsync($"rules check {folder.File("")}")).Error);
        Assert.Contains("1 rules, and each of their 1 samples", await relaygate.OkAsync($"rules check {rules}"), StringComparison.Ordinal);
        await File.WriteAllTextAsync(rules, "{\"rule\":\"ours\",\"text\":\"teapot\",\"class\":\"rates\",\"samples\":[\"550 teapot\"]}\n");
        Run bad = await relaygate.RunAsync("rules reload");
        Assert.Equal(2, bad.ExitCode);
        Assert.Contains($"the rules stay as they are: {rules} line 1: class is 'rates'", bad.Error, StringComparison.Ordinal);
        Run check = await relaygate.RunAsync($"rules check {rules}");
        Assert.Equal(1, check.ExitCode);
        Assert.Contains("line 1: class is 'rates': one of", check.Error, StringComparison.Ordinal);
        Assert.Contains("rules reload", await relaygate.OkAsync("audit list"), StringComparison.Ordinal);
        Assert.Contains("ours", await relaygate.OkAsync("rules list"), StringComparison.Ordinal);
    }
}
