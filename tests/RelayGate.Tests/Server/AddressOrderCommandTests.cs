using System.Text.Json.Nodes;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>What people do by hand about an address, by commands alone, and what becomes of mail meanwhile.</summary>
public sealed class AddressOrderCommandTests : IAsyncLifetime, IAsyncDisposable
{
    private FakeNextHop _nextHop = null!;
    private TestGateway _gateway = null!;
    private CommandRun _command = null!;

    public async Task InitializeAsync()
    {
        _nextHop = new FakeNextHop();
        _gateway = await TestGateway.StartAsync(_nextHop.Url, static options => options.Egress.IPv4 = "127.0.0.9");
        _command = new CommandRun(_gateway.ControlSocket);
        await OkAsync("subscription add acme --ipv4 127.0.0.11");
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
    public async Task An_address_rests_until_it_is_resumed_and_says_what_waits_and_who_did_it()
    {
        await OkAsync("ip rest 127.0.0.11 --for 2h --reason suspicious");
        await SendAsync();
        string reference = (string)(await WaitingAsync())["ref"]!;

        string explained = await OkAsync($"message explain {reference}");
        string shown = await OkAsync("ip show 127.0.0.11");
        JsonNode json = JsonNode.Parse(await OkAsync("ip show 127.0.0.11 --json"))!;
        string queued = await OkAsync($"queue show {reference}");
        Assert.Contains("waits for address 127.0.0.11 (4.3.2 The address 127.0.0.11 rests: suspicious), next attempt ", explained, StringComparison.Ordinal);
        Assert.Matches("resting everywhere since 20.* until 20.*, by uid .*, 1 waiting  suspicious", shown);
        Assert.Equal(("resting", 1), ((string?)json["state"], (int)json["states"]![0]!["waiting"]!));
        Assert.Contains("0 attempts, waits for address 127.0.0.11, next ", queued, StringComparison.Ordinal);
        Assert.Contains("resting", await OkAsync("ip list"), StringComparison.Ordinal);
        Assert.Contains("relaygate_egress_state{egress_ip=\"127.0.0.11\",provider=\"\"} 3", _gateway.Get<MetricsExposition>().Write(), StringComparison.Ordinal);
        Assert.Empty(_nextHop.Messages);

        Assert.Contains("resumed", await OkAsync("ip resume 127.0.0.11"), StringComparison.Ordinal);
        Assert.Equal("127.0.0.11", (await _nextHop.NextAsync()).Client.ToString());
        Assert.Contains("nothing kept mail of", await OkAsync("ip resume 127.0.0.11"), StringComparison.Ordinal);
        JsonArray audit = JsonNode.Parse(await OkAsync("audit list --json"))!["items"]!.AsArray();
        Assert.Contains(audit, static row => (string?)row!["what"] == "rest" && (string?)row["object"] == "ip 127.0.0.11");
    }

    [Fact]
    public async Task A_refused_address_is_told_of_to_the_administrator_and_its_owner_and_stands_at_the_address()
    {
        await OkAsync("subscription set acme --contact owner@shop.test");
        _nextHop.Script = static e => e.Verb == "MAIL" && e.Line.Contains("info@shop.test", StringComparison.Ordinal)
            ? new HopAction.Raw("554 5.7.1 Service unavailable; Client host [127.0.0.11] blocked using zen.spamhaus.org; https://check.spamhaus.org/query/ip/127.0.0.11\r\n") : null;
        await SendAsync();

        ReceivedMessage[] mails = [await _nextHop.NextAsync(), await _nextHop.NextAsync()];
        Assert.Equal(["RCPT TO:<owner@shop.test>", "RCPT TO:<postmaster@relay.test>"], mails.Select(static m => m.Rcpts[0].Split(" NOTIFY")[0]).Order());
        Assert.All(mails, static mail =>
        {
            Assert.Contains("ip-blocked: address 127.0.0.11 at ", mail.Text, StringComparison.Ordinal);
            Assert.Contains("zen.spamhaus.org", mail.Text, StringComparison.Ordinal);
        });
        string shown = await OkAsync("ip show 127.0.0.11");
        Assert.Matches("paused at .* since .* until .*, ip-blocked by zen.spamhaus.org, 1 waiting  554 5.7.1 Service unavailable", shown);
        JsonNode state = JsonNode.Parse(await OkAsync("ip show 127.0.0.11 --json"))!["states"]![0]!;
        _nextHop.Script = static _ => null;

        await OkAsync($"ip resume 127.0.0.11 --provider {(string)state["provider"]!}");

        Assert.Equal("127.0.0.11", (await _nextHop.NextAsync()).Client.ToString());
        Assert.DoesNotContain("ip-recovered", await OkAsync("notice list"), StringComparison.Ordinal); // Nobody has seen that it is taken again.
    }

    /// <summary>The server's own address was never added, and is in use all the same.</summary>
    [Fact]
    public async Task The_servers_own_address_is_listed_and_rests_and_drains_like_any_other()
    {
        Assert.Matches(@"127\.0\.0\.9 .* server +the server", await OkAsync("ip list"));
        JsonNode page = JsonNode.Parse(await OkAsync("ip list --limit 1 --json"))!;
        JsonNode next = JsonNode.Parse(await OkAsync($"ip list --limit 5 --cursor {page["nextCursor"]} --json"))!;
        Assert.Equal(["127.0.0.11", "127.0.0.9"], page["items"]!.AsArray().Concat(next["items"]!.AsArray()).Select(static a => (string?)a!["address"]));
        Assert.Contains("the server", await OkAsync("ip show 127.0.0.9"), StringComparison.Ordinal);
        await OkAsync("subscription add plain");
        await OkAsync("domain add plain.test --subscription plain");
        await OkAsync("mailbox add ann@plain.test --password-stdin", "secret-7\n");

        Assert.Matches("rests until 20.* UTC", await OkAsync("ip rest 127.0.0.9 --for 2h"));
        await OkAsync($"send --server {_gateway.Local} --login ann@plain.test --password-stdin --to bob@example.net", "secret-7");
        await WaitingAsync("ip 127.0.0.9");
        await OkAsync("ip resume 127.0.0.9");

        Assert.Equal("127.0.0.9", (await _nextHop.NextAsync()).Client.ToString());
        Assert.Contains("the only one of its family for the server, whose new mail", await OkAsync("ip drain 127.0.0.9"), StringComparison.Ordinal);
        Assert.Contains("draining", await OkAsync("ip list"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_and_status_tell_of_addresses_that_rest_or_drain_and_show_tells_of_paces_by_hand()
    {
        await OkAsync("pace set 127.0.0.11 next-hop.test 2/min --reason careful");
        await OkAsync("pace set * google 30/min");
        Assert.Matches("2/min at next-hop.test since 20.* UTC, by uid .*, 0 waiting  careful", await OkAsync("ip show 127.0.0.11"));
        Assert.Matches("30/min at google since 20.* UTC, set for each address, by uid .*, 0 waiting", await OkAsync("ip show 127.0.0.11"));
        Assert.Contains("30/min at google (0 waiting), 2/min at next-hop.test (0 waiting)", await OkAsync("ip list"), StringComparison.Ordinal);
        Assert.DoesNotContain("relaygate ip list", await OkAsync("status"), StringComparison.Ordinal);

        await OkAsync("ip rest 127.0.0.11 --reason suspicious");
        await OkAsync("ip drain 127.0.0.11");

        string doctor = (await _command.RunAsync("doctor")).Output;
        Assert.Matches("resting 127.0.0.11: .* 0 recipients wait .*: suspicious", doctor);
        Assert.Matches("drained 127.0.0.11: .*new mail of subscription acme leaves from it all the same", doctor);
        Assert.Contains("1 resting, 1 draining: relaygate ip list", await OkAsync("status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_drained_address_is_chosen_by_no_new_message_and_keeps_what_it_has()
    {
        await OkAsync("ip rest 127.0.0.11");
        await SendAsync();
        await WaitingAsync();
        await OkAsync("ip drain 127.0.0.11");
        await OkAsync("setting set Egress:MissingFamily Server");

        await SendAsync();

        Assert.Equal("127.0.0.9", (await _nextHop.NextAsync()).Client.ToString());
        Assert.Contains("draining since", await OkAsync("ip show 127.0.0.11"), StringComparison.Ordinal);
        await OkAsync("ip resume 127.0.0.11");
        Assert.Equal("127.0.0.11", (await _nextHop.NextAsync()).Client.ToString());
        await SendAsync();
        Assert.Equal("127.0.0.11", (await _nextHop.NextAsync()).Client.ToString());
    }

    [Fact]
    public async Task A_drained_address_without_another_is_chosen_all_the_same_and_who_drains_it_is_told()
    {
        string drained = await OkAsync("ip drain 127.0.0.11");
        await SendAsync();

        Assert.Equal("127.0.0.11", (await _nextHop.NextAsync()).Client.ToString());
        Assert.Contains("it is the only one of its family for subscription acme, whose new mail leaves from it until there is another", drained, StringComparison.Ordinal);
        Assert.Contains("draining", await OkAsync("ip list"), StringComparison.Ordinal);
        await OkAsync("ip rest 127.0.0.11");
        await SendAsync();
        await WaitingAsync();
        Run rebound = await _command.RunAsync("queue rebind --subscription acme --to-ip 127.0.0.11");
        Assert.Equal((5, "relaygate: 127.0.0.11 drains: no mail is to choose it; name another, or end that first (relaygate ip resume 127.0.0.11)\n"), (rebound.ExitCode, rebound.Error));
    }

    /// <summary>What was accepted without an address gets one when there is one, never another subscription's or the server's, and keeps it.</summary>
    [Fact]
    public async Task Mail_that_was_accepted_without_an_address_goes_when_there_is_one_and_keeps_that()
    {
        await OkAsync("setting set Egress:NoAddress Defer");
        await OkAsync("subscription set acme --ipv4 none");
        Assert.Contains("none: its mail waits until there is one (no-address)", await OkAsync("explain --as info@shop.test --to ann@example.net"), StringComparison.Ordinal);
        await SendAsync();
        JsonNode waiting = await WaitingAsync();
        Assert.Equal("egress acme shop.test", (string?)waiting["waitsFor"]);
        await OkAsync("subscription add rival --ipv4 127.0.0.12");
        Assert.Contains("1 for egress acme shop.test (relaygate subscription show acme)", await OkAsync("queue retry --subscription acme"), StringComparison.Ordinal);
        Assert.Empty(_nextHop.Messages);
        await OkAsync("ip add 127.0.0.13");
        await OkAsync("ip rest 127.0.0.13");

        await OkAsync("subscription set acme --ipv4 127.0.0.13");

        await WaitingAsync("ip 127.0.0.13");
        Assert.Contains("given 127.0.0.13", await OkAsync($"message explain {waiting["ref"]}"), StringComparison.Ordinal);
        await OkAsync("subscription set acme --ipv4 127.0.0.11");
        Assert.Empty(_nextHop.Messages);
        await OkAsync("ip resume 127.0.0.13");
        Assert.Equal("127.0.0.13", (await _nextHop.NextAsync()).Client.ToString());
    }

    [Fact]
    public async Task A_pace_is_set_listed_and_ended_with_one_clear_line_for_what_is_wrong()
    {
        Assert.Contains("127.0.0.11 goes to * at 1/min until 20", await OkAsync("pace set 127.0.0.11 * 1/min --connections 1 --for 2h --reason listed"), StringComparison.Ordinal);
        Assert.Matches(@"127\.0\.0\.11 +\* +1/min +1 .* listed", await OkAsync("pace list"));
        await SendAsync();
        await _nextHop.NextAsync();
        await SendAsync();
        JsonNode waiting = await WaitingAsync();
        Assert.StartsWith("ip 127.0.0.11 ", (string)waiting["waitsFor"]!);
        Assert.Matches(@"1/min, 1 connections at each provider since .* until .*, 1 waiting  listed", await OkAsync("ip show 127.0.0.11"));

        Assert.Equal("127.0.0.11", (string?)JsonNode.Parse(await OkAsync("pace cancel 127.0.0.11 * --json"))!["address"]);
        await _nextHop.NextAsync();
        Assert.Contains("no pace is set", await OkAsync("pace list"), StringComparison.Ordinal);
        foreach ((string command, int exitCode, string error) in new[]
        {
            ("pace set 127.0.0.11 * fast", 2, "relaygate: pace is 'fast': 1/min to 10000/min is expected\n"),
            ("pace set 127.0.0.11 * 10/min --for soon", 2, "relaygate: 'soon' is no time: write --for 30m, 2h or 1d\n"),
            ("pace set 127.0.0.11 gogle 10/min", 2, "relaygate: no provider is called gogle; did you mean google?\n"),
            ("pace set 127.0.0.11 bad..name 10/min", 2, "relaygate: 'bad..name' is no provider: a name such as google, or a domain such as example.net, is expected\n"),
            ("ip resume 127.0.0.11 --provider gogle", 2, "relaygate: no provider is called gogle; did you mean google?\n"),
            ("ip resume 127.0.0.11 --provider google", 3, "relaygate: nothing is known against 127.0.0.11 at google"),
            ("pace set 127.0.0.99 * 10/min", 3, "relaygate: "),
            ("pace cancel 127.0.0.11 *", 3, "relaygate: no pace is set for 127.0.0.11 at *; what there is: relaygate pace list\n"),
            ("ip rest 127.0.0.99", 3, "relaygate: "),
            ("ip list --cursor xx", 2, "relaygate: the cursor is not one that a page gave"),
            ("queue list --ip 1.2.3", 2, "relaygate: --ip: '1.2.3' is no IP address"),
            ("message list --class rate --ip 1.2.3.4.5", 2, "relaygate: --ip: '1.2.3.4.5' is no IP address"),
            ("setting set Egress:IPv6 off", 2, "relaygate: 'off' is no value for Egress:IPv6; it is an IPv6 address, or none\n"),
            ("ip resume 127.0.0.11 --provider nobody.test", 3, "relaygate: nothing is known against 127.0.0.11 at nobody.test; what there is: relaygate ip show 127.0.0.11\n"),
        })
        {
            Run run = await _command.RunAsync(command);
            Assert.Equal((command, exitCode), (command, run.ExitCode));
            Assert.StartsWith(error, run.Error, StringComparison.Ordinal);
            Assert.Equal(1, run.Error.Count(static c => c == '\n'));
        }
    }

    private Task<string> OkAsync(string command, string input = "") => _command.OkAsync(command, input);

    private Task<string> SendAsync() => OkAsync($"send --server {_gateway.Local} --login info@shop.test --password-stdin --to ann@example.net", "secret-7");

    /// <summary>The one queued message, once it waits for something.</summary>
    private async Task<JsonNode> WaitingAsync(string? what = null)
    {
        for (int i = 0; i < 100; i++)
        {
            JsonArray items = JsonNode.Parse(await OkAsync("queue list --json"))!["items"]!.AsArray();
            if (items.FirstOrDefault(item => (string?)item!["waitsFor"] is { } key && (what ?? key) == key) is { } found)
                return found;
            await Task.Delay(100);
        }
        Assert.Fail("Nothing was put off");
        return null!;
    }
}
