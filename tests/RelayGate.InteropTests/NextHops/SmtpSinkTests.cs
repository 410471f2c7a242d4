using System.Text.RegularExpressions;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.NextHops;

/// <summary>Postfix's smtp-sink as the next hop, with everything switched off or gone wrong that it can play.</summary>
public sealed class SmtpSinkTests
{
    [InteropTheory("smtp-sink")]
    [InlineData("", "delivered")]
    [InlineData("-p", "delivered")] // No PIPELINING.
    [InlineData("-8", "delivered")] // No 8BITMIME.
    [InlineData("-N", "delivered")] // No DSN.
    [InlineData("-E", "delivered")] // No enhanced status codes.
    [InlineData("-e", "delivered")] // No ESMTP.
    [InlineData("-P", "delivered")] // As behind a Cisco PIX.
    [InlineData("-f EHLO", "delivered")] // 500 to EHLO.
    [InlineData("-H 2 -T 2048", "delivered")] // Reads late, with a small window.
    [InlineData("-w 1", "delivered")] // A second before each reply to DATA.
    [InlineData("-r MAIL", "deferred")]
    [InlineData("-r RCPT", "deferred")]
    [InlineData("-r DATA", "deferred")]
    [InlineData("-r .", "deferred")]
    [InlineData("-r CONNECT", "deferred")]
    [InlineData("-f CONNECT", "deferred")]
    [InlineData("-f EHLO,HELO", "deferred")]
    [InlineData("-f MAIL", "failed")]
    [InlineData("-f RCPT", "failed")]
    [InlineData("-f DATA", "failed")]
    [InlineData("-f .", "failed")]
    [InlineData("-A 1", "failed")] // 550 after the content, which it did not read.
    [InlineData("-q CONNECT", "deferred")]
    [InlineData("-q EHLO", "deferred")]
    [InlineData("-q MAIL", "deferred")]
    [InlineData("-q RCPT", "deferred")]
    [InlineData("-q DATA", "deferred")]
    [InlineData("-q .", "deferred")]
    [InlineData("-Q CONNECT", "deferred")]
    [InlineData("-Q EHLO", "deferred")]
    [InlineData("-Q MAIL", "deferred")]
    [InlineData("-Q RCPT", "deferred")]
    [InlineData("-Q DATA", "deferred")]
    [InlineData("-Q .", "deferred")]
    public async Task What_it_does_has_its_meaning(string options, string expected)
    {
        using var folder = new TestFolder();
        string dumps = Directory.CreateDirectory(folder["dumps"]).FullName;
        File.SetUnixFileMode(dumps, TestFolder.Traversable | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite);
        string[] user = Environment.IsPrivilegedProcess ? ["-u", "nobody"] : [];
        int port = FreePort.Next();
        await using BackgroundProgram sink = BackgroundProgram.Start("smtp-sink", [.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), .. user, "-d", Path.Combine(dumps, "%S."), $"127.0.0.1:{port}", "100"]);
        await using var gateway = new GatewayProcess($"smtp://127.0.0.1:{port}");
        gateway.Settings["Delivery"]!["Retry"]!["First"] = "01:00:00"; // One attempt.
        gateway.Settings["Delivery"]!["Retry"]!["Longest"] = "01:00:00";
        await UntilOpenAsync(port, sink);
        await gateway.StartAsync();
        await gateway.AddShopAsync();

        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        string? reply = await dialog.SendAsync("info@shop.test", "ann@dest.test", $"From: info@shop.test\r\nSubject: to smtp-sink\r\n\r\n\u00e4\r\n{new string('x', 900)}");
        Assert.StartsWith("250", reply, StringComparison.Ordinal);
        string reference = reply!.Split("; ref ")[1], explanation = "";

        try
        {
            await Eventually.TrueAsync(async () => Regex.IsMatch(explanation = await gateway.CliAsync("message", "explain", reference), $@"now +{expected}"), expected);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}\n{explanation}", e);
        }
        int copies = Directory.GetFiles(dumps).Count(f => File.ReadAllText(f, System.Text.Encoding.Latin1) is var text && text.Contains("Subject: to smtp-sink\n\n\u00e4\n", StringComparison.Ordinal) && text.Contains("<info@shop.test>", StringComparison.Ordinal));
        Assert.True(expected != "delivered" || copies == 1, $"{copies} copies");
    }

    private static async Task UntilOpenAsync(int port, BackgroundProgram sink) => await Eventually.TrueAsync(
        async () =>
        {
            Assert.False(sink.HasExited, sink.Said);
            try
            {
                using SmtpDialog dialog = await SmtpDialog.ConnectAsync(port);
                return true;
            }
            catch (System.Net.Sockets.SocketException)
            {
                return false; // Not up yet.
            }
        },
        "smtp-sink");
}
