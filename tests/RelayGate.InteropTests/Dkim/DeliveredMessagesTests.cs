using System.Text;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Dkim;

/// <summary>Odd messages go the whole way, by DATA and by BDAT; what reaches the next hop is judged by dkimpy and OpenDKIM.</summary>
public sealed class DeliveredMessagesTests
{
    private const string From = "From: Info <info@shop.test>\r\n";
    private const string Usual = From + "To: ann@example.com\r\nDate: Sat, 21 Nov 2026 09:05:07 +0000\r\nMessage-ID: <1@shop.test>\r\n";

    private static readonly (string Name, string Content)[] Messages =
    [
        ("plain", Usual + "\r\nHello\r\n"),
        ("bare", From + "\r\nHello\r\n"),
        ("folded", "Subject:  a\r\n\tb \r\n  c   \r\nTo:\r\n b@example.net,\r\n\tc@example.net\r\n" + From + "\r\nHello\r\n"),
        ("duplicates", "To: a@x.test\r\nSubject: one\r\n" + From + "To: b@x.test\r\nSubject: two\r\nto: c@x.test\r\nSUBJECT:\r\n\r\nHello\r\n"),
        ("eight-bit-header", "Subject: Gr\xc3\xbc\xc3\x9f" + "e \xff\xfe\r\nFrom: J\xfcrgen <info@shop.test>\r\n\r\nHello\r\n"),
        ("eight-bit-body", Usual + "\r\nGr\xfc\xdf" + "e \xc3\xbc\r\n"),
        ("very-long-field", From + "References:" + string.Concat(Enumerable.Range(0, 300).Select(static i => $"\r\n <{i}@a-long-enough-name.shop.test>")) + "\r\n\r\nx\r\n"),
        ("very-long-lines", From + "Subject: " + new string('x', 900) + "\r\n\r\n" + new string('y', 998) + "\r\n"),
        ("empty-fields", From + "Subject:\r\nTo: \r\nCc:\t\r\n\r\nHello\r\n"),
        ("bcc", "Bcc: secret@x.test\r\n" + Usual + "Resent-Bcc: secret@x.test\r\n\r\nHello\r\n"),
        ("empty-body", Usual + "\r\n"),
        ("no-body", Usual),
        ("only-empty-lines", Usual + "\r\n\r\n\r\n\r\n"),
        ("no-final-newline", Usual + "\r\nHello"),
        ("blank-then-no-final-newline", Usual + "\r\nHello \t"),
        ("trailing-empty-lines", Usual + "\r\nHello\r\n\r\n\r\n\r\n"),
        ("blanks-and-tabs", Usual + "\r\na \t b\t\r\n\tc  d \r\n  e\r\n \r\n"),
        ("dots", Usual + "\r\n.\r\n..\r\n.a\r\n"),
        ("large-body", Usual + "\r\n" + string.Concat(Enumerable.Range(0, 20_000).Select(static i => $"line {i}  of many \t\r\n"))),
    ];

    [InteropFact(Programs.DkimPy, "opendkim")]
    public async Task Both_judges_verify_every_message_at_the_next_hop()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "mailbox", "info@shop.test", "100000/h");
        using var folder = new TestFolder();
        await DkimJudges.CreateKeyAsync(gateway, folder);

        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        foreach ((string name, string content) in Messages)
        {
            await SendAsync(dialog, name + "-bdat", content, chunked: true);
            if (content.EndsWith("\r\n", StringComparison.Ordinal))
                await SendAsync(dialog, name + "-data", content, chunked: false);
        }
        int sent = Messages.Length + Messages.Count(static m => m.Content.EndsWith("\r\n", StringComparison.Ordinal));
        foreach (SinkMessage message in await sink.ReceiveAsync(static _ => true, sent))
        {
            // The recipient names the case; the content is as it arrived.
            await File.WriteAllBytesAsync(folder[message.Recipients[0].Split('@')[0].Trim('<') + ".eml"], message.Data);
            Assert.Null(message.Field("Bcc"));
            Assert.DoesNotContain("l=", message.Field("DKIM-Signature"), StringComparison.Ordinal);
        }

        Assert.Equal(sent, Directory.GetFiles(folder.FullName, "*.eml").Length);
        Assert.Empty((await DkimJudges.DkimPyAsync(folder)).Where(static v => v.Value != "True").Select(static v => $"{v.Key}: {v.Value}"));
        Assert.Empty((await DkimJudges.OpenDkimAsync(folder)).Where(static v => v.Value != "succeeded").Select(static v => $"{v.Key}: {v.Value}"));
    }

    private static async Task SendAsync(SmtpDialog dialog, string name, string content, bool chunked)
    {
        string to = name + "@example.com";
        if (!chunked)
        {
            string? end = await dialog.SendAsync("info@shop.test", to, content[..^2]);
            Assert.True(end?.StartsWith("250 ", StringComparison.Ordinal), $"{name}: {end}");
            return;
        }
        await dialog.ExpectAsync("MAIL FROM:<info@shop.test> BODY=8BITMIME", "250");
        await dialog.ExpectAsync($"RCPT TO:<{to}>", "250");
        byte[] octets = Encoding.Latin1.GetBytes(content);
        int first = octets.Length / 3; // In two chunks, cut anywhere.
        await dialog.WriteAsync($"BDAT {first}\r\n");
        await dialog.Stream.WriteAsync(octets.AsMemory(0, first));
        Assert.StartsWith("250 ", await dialog.ReplyAsync(), StringComparison.Ordinal);
        await dialog.WriteAsync($"BDAT {octets.Length - first} LAST\r\n");
        await dialog.Stream.WriteAsync(octets.AsMemory(first));
        string? reply = await dialog.ReplyAsync();
        Assert.True(reply?.StartsWith("250 ", StringComparison.Ordinal), $"{name}: {reply}");
    }
}
