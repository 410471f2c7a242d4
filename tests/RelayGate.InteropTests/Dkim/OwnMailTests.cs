using System.Text;
using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Dkim;

/// <summary>Reports in the name of the sender's domain and of the server, and notices: dkimpy and OpenDKIM verify what reaches the next hop.</summary>
public sealed class OwnMailTests
{
    [InteropFact(Programs.DkimPy, "opendkim")]
    public async Task Both_judges_verify_reports_and_notices()
    {
        await using SinkServer sink = SinkServer.Start();
        sink.Reply = static line => line.StartsWith("RCPT TO:<nobody@", StringComparison.OrdinalIgnoreCase) ? "550-5.1.1 No such user here\r\n550 5.1.1 Gr\u00fc\u00dfe" : null;
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink, static s => s["Notices"] = new JsonObject { ["Administrator"] = "admin@ops.test", ["AdministratorKinds"] = "none", ["OwnerKinds"] = "none" });
        await gateway.AddShopAsync();
        using var folder = new TestFolder();
        string hostname = gateway.Settings["Hostname"]!.GetValue<string>();
        var keys = new StringBuilder(await KeyAsync(gateway, "shop.test"));

        await SendAsync(gateway, "Hello\r\n");
        await SaveAsync(folder, "sender-whole", await sink.ReceiveAsync(ToSender), "d=shop.test;", "MAILER-DAEMON@shop.test");
        await gateway.CliAsync("domain", "add", hostname, "--subscription", "system");
        keys.Append(await KeyAsync(gateway, hostname));
        await SendAsync(gateway, "Gr\u00fc\u00dfe \t \r\n.\r\n\r\n\r\n");
        await SaveAsync(folder, "server-8bit", await sink.ReceiveAsync(ToSender, 2), $"d={hostname};", $"MAILER-DAEMON@{hostname}");
        await SendAsync(gateway, string.Concat(Enumerable.Range(0, 5000).Select(static i => $"line {i}  of many \t\r\n")));
        await SaveAsync(folder, "server-header", await sink.ReceiveAsync(ToSender, 3), $"d={hostname};", $"MAILER-DAEMON@{hostname}");
        await gateway.CliAsync("notice", "test");
        await SaveAsync(folder, "notice", await sink.ReceiveAsync(static m => m.Recipients[0].Contains("admin@ops.test", StringComparison.Ordinal)), $"d={hostname};", $"relaygate@{hostname}");
        await File.WriteAllTextAsync(folder["keys"], keys.ToString());

        Assert.Equal(4, Directory.GetFiles(folder.FullName, "*.eml").Length);
        Assert.Empty((await DkimJudges.DkimPyAsync(folder)).Where(static v => v.Value != "True").Select(static v => $"{v.Key}: {v.Value}"));
        Assert.Empty((await DkimJudges.OpenDkimAsync(folder)).Where(static v => v.Value != "succeeded").Select(static v => $"{v.Key}: {v.Value}"));
    }

    private static bool ToSender(SinkMessage message) => message.Recipients[0].Contains("info@shop.test", StringComparison.Ordinal);

    private static async Task SendAsync(GatewayProcess gateway, string body)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        string content = "From: info@shop.test\r\nTo: nobody@example.com\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n" + body.Replace("\r\n.", "\r\n..", StringComparison.Ordinal);
        Assert.StartsWith("250 ", await dialog.SendAsync("info@shop.test", "nobody@example.com", content[..^2]), StringComparison.Ordinal);
    }

    private static async Task SaveAsync(TestFolder folder, string name, IReadOnlyList<SinkMessage> received, string signer, string from)
    {
        SinkMessage message = received[^1];
        Assert.Contains(signer, message.Field("DKIM-Signature"), StringComparison.Ordinal);
        Assert.Contains($"<{from}>", message.Field("From"), StringComparison.Ordinal);
        await File.WriteAllBytesAsync(folder[name + ".eml"], message.Data);
    }

    private static async Task<string> KeyAsync(GatewayProcess gateway, string domain)
    {
        await gateway.CliAsync("dkim", "create", domain, "--selector", "rg1");
        JsonNode key = (await gateway.CliJsonAsync("dkim", "dns", domain))["items"]![0]!;
        string value = key["dnsValue"]!.GetValue<string>().Replace("\" \"", "", StringComparison.Ordinal).Trim('"');
        return $"{key["dnsName"]!.GetValue<string>().TrimEnd('.')} {value}\n";
    }
}
