using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Crash;

/// <summary>A full disk: new mail is put off with 452 4.3.1, nothing is lost, and the gateway recovers by itself.</summary>
public sealed class FullDiskTests
{
    private const int Mebi = 1024 * 1024;

    [InteropTheory(Programs.Mounts)]
    [InlineData("below the reserve", 16)] // Storage:MinimumFree stops submission before the disk is full.
    [InlineData("to the last octet", 1)]  // The writer itself meets ENOSPC.
    public async Task Submission_stops_with_452_and_goes_on_once_there_is_room(string name, int reserve)
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = OnSmallDisk(sink, reserve);
        await gateway.StartAsync();
        await gateway.AddShopAsync();
        Assert.StartsWith("250 ", await SendAsync(gateway, "before", 1000), StringComparison.Ordinal);

        string ballast = Fill(gateway);
        string? reply = null;
        await Eventually.TrueAsync(
            async () => (reply = await SendAsync(gateway, "during", 200_000)).StartsWith("452", StringComparison.Ordinal), $"a refusal ({name})");
        Assert.StartsWith("452 4.3.1 ", reply, StringComparison.Ordinal);

        File.Delete(ballast);
        await Eventually.TrueAsync(async () => (await SendAsync(gateway, "after", 1000)).StartsWith("250 ", StringComparison.Ordinal), "recovery by itself");
        await sink.ReceiveAsync("Subject: before\r\n");
        await sink.ReceiveAsync("Subject: after\r\n");
        Assert.Equal(0, await gateway.StopAsync());
    }

    /// <summary>The data folder is a file system of 64 MiB in a mount namespace that ends with the process.</summary>
    private static GatewayProcess OnSmallDisk(SinkServer sink, int reserve)
    {
        var gateway = new GatewayProcess(sink.Url)
        {
            Wrapper = ["unshare", "-m", "sh", "-ec", "mount -t tmpfs -o size=64m,mode=0700 none data; exec \"$@\"", "sh"],
        };
        string data = gateway.Folder["data"];
        Directory.CreateDirectory(data, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        gateway.Settings["Storage"] = new JsonObject { ["MinimumFree"] = reserve * Mebi };
        return gateway;
    }

    /// <summary>Takes all room that is left, seen through the gateway's own mount namespace.</summary>
    private static string Fill(GatewayProcess gateway)
    {
        string ballast = $"/proc/{gateway.Id}/root{gateway.Folder["data"]}/ballast";
        using FileStream file = File.Create(ballast, 1, FileOptions.WriteThrough);
        byte[] block = new byte[4096];
        try
        {
            while (true)
                file.Write(block);
        }
        catch (IOException)
        {
            return ballast; // Full.
        }
    }

    private static async Task<string> SendAsync(GatewayProcess gateway, string subject, int octets)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        string body = string.Join("\r\n", Enumerable.Repeat(new string('x', 78), octets / 80));
        return await dialog.SendAsync("info@shop.test", "ann@example.com", $"From: info@shop.test\r\nSubject: {subject}\r\n\r\n{body}") ?? "closed";
    }
}
