using System.Text.Json.Nodes;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>As it is installed, the server has no address configured and the system chooses it: what is known against that is seen and ended like that of any address.</summary>
public sealed class SystemChoiceCommandTests : IAsyncLifetime, IAsyncDisposable
{
    private const string Name = "0.0.0.0 (the system's choice)";

    private FakeNextHop _nextHop = null!;
    private TestGateway _gateway = null!;
    private CommandRun _command = null!;

    public async Task InitializeAsync()
    {
        _nextHop = new FakeNextHop();
        _gateway = await TestGateway.StartAsync(_nextHop.Url);
        _command = new CommandRun(_gateway.ControlSocket);
        await OkAsync("subscription add acme");
        await OkAsync("domain add shop.test --subscription acme");
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask();

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _nextHop.DisposeAsync();
    }

    [Fact]
    public async Task A_pause_of_the_address_that_the_system_chooses_is_shown_by_its_name_everywhere_and_ended_by_hand()
    {
        _nextHop.Script = static e => e.Verb == "MAIL" && e.Line.Contains("info@shop.test", StringComparison.Ordinal)
            ? new HopAction.Raw("554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using zen.spamhaus.org\r\n") : null;
        await SendAsync();
        JsonNode waiting = await WaitingAsync();
        JsonNode notice = await NoticeAsync(); // Its mail leaves from there as well, and waits.

        string told = await OkAsync($"notice show {notice["notice"]}");
        Assert.Contains($"address {Name} at 127.0.0.1", told, StringComparison.Ordinal);
        Assert.Contains("relaygate ip show 0.0.0.0", told, StringComparison.Ordinal);
        Assert.Contains("1 paused: relaygate ip list", await OkAsync("status"), StringComparison.Ordinal);
        Assert.Contains($"paused {Name} at ", (await _command.RunAsync("doctor")).Output, StringComparison.Ordinal);
        Assert.Matches(@"0\.0\.0\.0 \(the system's choice\) .* server +the server .*paused at 127\.0\.0\.1 \(\d waiting\)", await OkAsync("ip list"));
        string shown = await OkAsync("ip show 0.0.0.0");
        Assert.Contains(Name, shown, StringComparison.Ordinal);
        Assert.Matches(@"paused at .* since .* until .*, ip-blocked by zen.spamhaus.org, \d waiting  554 5.7.1 Service unavailable", shown);
        Assert.Contains($"waits for address {Name} at ", await OkAsync($"message explain {waiting["ref"]}"), StringComparison.Ordinal);
        Assert.Contains($"ip {Name} 127.0.0.1", await OkAsync("queue list"), StringComparison.Ordinal);
        Assert.Contains($"1 for ip {Name} 127.0.0.1 (relaygate ip show 0.0.0.0)", await OkAsync("queue retry --subscription acme"), StringComparison.Ordinal);
        _nextHop.Script = static _ => null;

        Assert.Contains($"address {Name} resumed", await OkAsync("ip resume 0.0.0.0"), StringComparison.Ordinal);

        ReceivedMessage[] gone = [await _nextHop.NextAsync(), await _nextHop.NextAsync()];
        Assert.Contains(gone, static message => message.Mail.Contains("info@shop.test", StringComparison.Ordinal));
        Assert.Contains($"nothing kept mail of {Name} back", await OkAsync("ip resume 0.0.0.0"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_systems_choice_rests_and_has_a_pace_and_cannot_drain_or_be_added()
    {
        Assert.Contains($"address {Name} rests until 20", await OkAsync("ip rest 0.0.0.0 --for 2h"), StringComparison.Ordinal);
        await SendAsync();
        Assert.Equal("ip 0.0.0.0", (string?)(await WaitingAsync())["waitsFor"]);
        await OkAsync("ip resume 0.0.0.0");
        await _nextHop.NextAsync();
        Assert.Contains($"{Name} goes to * at 10/min", await OkAsync("pace set 0.0.0.0 * 10/min"), StringComparison.Ordinal);
        Assert.Contains("10/min at each provider", await OkAsync("ip show 0.0.0.0"), StringComparison.Ordinal);
        Assert.Contains(Name, await OkAsync("pace list"), StringComparison.Ordinal);
        await OkAsync("pace cancel 0.0.0.0 *");
        await OkAsync("ip rest ::");
        Assert.Contains("address :: (the system's choice) resumed", await OkAsync("ip resume ::"), StringComparison.Ordinal);

        foreach ((string command, string error) in new[]
        {
            ("ip drain 0.0.0.0", $"relaygate: {Name} cannot drain, as there is no other to choose; name one (relaygate setting set Egress:IPv4 ADDRESS), or let nothing leave (relaygate ip rest 0.0.0.0)\n"),
            ("ip add 0.0.0.0", "relaygate: 0.0.0.0 stands for the system's choice; name one of this server's own addresses, like 192.0.2.11\n"),
        })
        {
            Run run = await _command.RunAsync(command);
            Assert.Equal((2, error), (run.ExitCode, run.Error));
        }
    }

    /// <summary>What is known against an address that is nobody's by now still keeps its queued mail back.</summary>
    [Fact]
    public async Task What_rests_is_shown_and_resumed_when_the_server_has_another_address_by_then()
    {
        await OkAsync("ip rest 0.0.0.0");
        await OkAsync("setting set Egress:IPv4 127.0.0.9");
        await OkAsync("ip rest 127.0.0.9");
        await OkAsync("setting set Egress:IPv4 127.0.0.8");

        Assert.Equal(["0.0.0.0", "127.0.0.8", "127.0.0.9"], JsonNode.Parse(await OkAsync("ip list --json"))!["items"]!.AsArray().Select(static a => (string?)a!["address"]));
        foreach (string address in new[] { "0.0.0.0", "127.0.0.9" })
        {
            Assert.Contains("resting everywhere", await OkAsync($"ip show {address}"), StringComparison.Ordinal);
            Assert.Contains("resumed", await OkAsync($"ip resume {address}"), StringComparison.Ordinal);
            Assert.Equal(3, (await _command.RunAsync($"ip show {address}")).ExitCode);
        }
    }

    private Task<string> OkAsync(string command, string input = "") => _command.OkAsync(command, input);

    private Task<string> SendAsync() => OkAsync($"send --server {_gateway.Local} --login info@shop.test --password-stdin --to ann@example.net", "secret-7");

    /// <summary>The one queued message, once it waits for something.</summary>
    private async Task<JsonNode> WaitingAsync()
    {
        for (int i = 0; i < 100; i++)
        {
            JsonArray items = JsonNode.Parse(await OkAsync("queue list --subscription acme --json"))!["items"]!.AsArray();
            if (items.FirstOrDefault(static item => (string?)item!["waitsFor"] is not null) is { } found)
                return found;
            await Task.Delay(100);
        }
        Assert.Fail("Nothing was put off");
        return null!;
    }

    private async Task<JsonNode> NoticeAsync()
    {
        for (int i = 0; i < 100; i++)
        {
            if (JsonNode.Parse(await OkAsync("notice list --event ip-blocked --json"))!["items"]!.AsArray() is [{ } found, ..])
                return found;
            await Task.Delay(100);
        }
        Assert.Fail("Nobody was told");
        return null!;
    }
}
