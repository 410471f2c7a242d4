using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>The built command against a running gateway: what it prints where, and its exit codes.</summary>
public sealed class CommandLineTests : IAsyncLifetime, IAsyncDisposable
{
    private TestGateway _gateway = null!;
    private FakeNextHop _nextHop = null!;

    public async Task InitializeAsync()
    {
        _nextHop = new FakeNextHop();
        _gateway = await TestGateway.StartAsync(_nextHop.Url);
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _nextHop.DisposeAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask(); // The one that this version of the runner calls.

    [Fact]
    public async Task Accounts_limits_and_mail_go_their_way_by_commands_alone()
    {
        await OkAsync("plan add basic");
        await OkAsync("subscription add acme --plan basic --ipv4 127.0.0.11");
        await OkAsync("domain add shop.test --subscription acme");
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
        await OkAsync("limit set mailbox info@shop.test 1/h");
        Assert.Contains("_domainkey.shop.test", await OkAsync("dkim create shop.test --selector rg1"), StringComparison.Ordinal);
        string send = $"send --server {_gateway.Local} --login info@shop.test --password-stdin --to ann@example.net";

        string sent = await OkAsync(send, "secret-7");
        ReceivedMessage message = await _nextHop.NextAsync();
        Run refused = await RunAsync(send, "secret-7");
        JsonNode records = JsonNode.Parse(await OkAsync("message list --json"))!;
        await OkAsync("queue list --from @shop.test"); // A domain, not a file of arguments.
        string reference = (string)records["items"]!.AsArray().First(i => (string?)i!["outcome"] == "refused")!["ref"]!;
        string story = await OkAsync($"message explain {reference}");
        string dryRun = await OkAsync("explain --as info@shop.test --from ceo@bank.example --to ann@example.net");

        string whatIf = await OkAsync("limit simulate --set domain:shop.test=1/d --set mailbox:info@shop.test=5/h --since 1h");
        JsonNode report = JsonNode.Parse(await OkAsync("limit simulate --set domain=2/h --json"))!;

        Assert.Contains("1 of 1 subscriptions would be hit, first at", whatIf, StringComparison.Ordinal);
        Assert.Contains("domain shop.test  1/d", whatIf, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', whatIf);
        Assert.Equal(2, (long)report["offered"]!["messages"]!);
        Assert.Equal("mailbox info@shop.test", (string?)report["items"]![0]!["object"]); // Its own 1/h is still in force.
        Assert.Contains("queued ", sent, StringComparison.Ordinal);
        Assert.Equal("127.0.0.11", message.Client.ToString());
        Assert.Contains("DKIM-Signature:", message.Text, StringComparison.Ordinal);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("refused: 451 4.7.1", refused.Output, StringComparison.Ordinal);
        Assert.Contains(reference, refused.Output, StringComparison.Ordinal);
        Assert.Contains("STOP", story, StringComparison.Ordinal);
        Assert.Contains("nothing was sent or counted", dryRun, StringComparison.Ordinal);
        Assert.Contains("accepted", await OkAsync("status"), StringComparison.Ordinal);
        Assert.Contains("of 500 to next hops", await OkAsync("status"), StringComparison.Ordinal);
        Assert.Contains("0 problems", await OkAsync("doctor"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Mail_that_is_held_is_said_to_be_with_the_reason_and_the_time()
    {
        await OkAsync("subscription add acme");
        await OkAsync("domain add shop.test --subscription acme");
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
        await OkAsync("limit set mailbox info@shop.test 1/h --over hold");
        string send = $"send --server {_gateway.Local} --login info@shop.test --password-stdin --to ann@example.net";
        Assert.Contains("queued ", await OkAsync(send, "secret-7"), StringComparison.Ordinal);

        string held = await OkAsync(send, "secret-7");
        JsonNode json = JsonNode.Parse(await OkAsync(send + " --json", "secret-7"))!;
        string blind = await new CommandRun("/nonexistent/control.sock").OkAsync(send, "secret-7"); // Who may not ask the gateway.
        await _gateway.Get<AccountAdministration>().SaveUsesAsync(default);
        string mailbox = await OkAsync("mailbox show info@shop.test");

        Assert.Contains("held 01", held, StringComparison.Ordinal);
        Assert.Contains("held for limit: mailbox info@shop.test is over its limit", held, StringComparison.Ordinal);
        Assert.Contains("released about 20", held, StringComparison.Ordinal);
        Assert.DoesNotContain("queued", held, StringComparison.Ordinal);
        Assert.Equal("held", (string?)json["outcome"]);
        Assert.Matches("held 01.*\n250 2.0.0 Held: mailbox info@shop.test hourly limit 1/1 messages, 2 before it, released about", blind);
        Assert.Matches("uses +4\n", mailbox);
        Assert.Contains("last use", mailbox, StringComparison.Ordinal);
        Assert.Contains("password set", mailbox, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_no_limit_holds_for_is_warned_of()
    {
        string added = await OkAsync("network add 198.51.100.0/24 --exempt-from-limits");
        Assert.Contains("WARNING: no limit holds for what 256 addresses send", added, StringComparison.Ordinal);
        Assert.DoesNotContain("WARNING", await OkAsync("network add 203.0.113.0/24"), StringComparison.Ordinal);
        foreach (string command in new[] { "limit show server", "limit tree", "status" })
            Assert.DoesNotContain("limits are off", await OkAsync(command), StringComparison.Ordinal);

        await OkAsync("setting set Limits:Enforce false");

        foreach (string command in new[] { "limit show server", "limit tree", "status" })
            Assert.Contains("WARNING: limits are off", await OkAsync(command), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("plan show nope", 3, "There is no plan 'nope'")]
    [InlineData("message explain 01K3ZC9V7M01K3ZC9V7M01K3ZC", 3, "there is no record")]
    [InlineData("message explain nonsense", 2, "is no ref")]
    [InlineData("queue retry 01K3ZC9V7M01K3ZC9V7M01K3ZC", 3, "not in the queue")]
    [InlineData("queue hold", 2, "name either refs or what to look for")]
    [InlineData("limit set server 0", 2, "write forbidden or unlimited")]
    [InlineData("limit set planet x 5/h", 2, "name the object as")]
    [InlineData("limit set server --over hold", 2, "give both: relaygate limit set server N/h --over hold")]
    [InlineData("limit set server --each domain --over hold", 2, "give both: relaygate limit set server --each domain N/h --over hold")]
    [InlineData("limit set server 5 /h", 2, "one word too many")]
    [InlineData("limit simulate", 2, "--set")]
    [InlineData("limit simulate --set domain", 2, "write LEVEL=VALUE")]
    [InlineData("limit simulate --set planet=5/h", 2, "is no level")]
    [InlineData("limit simulate --set server:x=5/h", 2, "the server has no name")]
    [InlineData("limit simulate --set domain=5", 2, "is no limit")]
    [InlineData("limit simulate --set domain=0", 2, "write forbidden or unlimited")]
    [InlineData("limit simulate --set domain=5/h --set domain=6/d", 2, "set twice")]
    [InlineData("limit simulate --set domain:nix.test=5/h", 3, "no domain")]
    [InlineData("limit simulate --set domain=5/h --since tomorrow", 2, "is no time")]
    [InlineData("limit simulate --set domain=5/h --over shrug", 2, "one of refuse")]
    [InlineData("domain add shop.test", 2, "--subscription NAME")]
    [InlineData("domain add new.test --subscription system --owned everything", 2, "'everything' is no set of owned addresses; use mailbox, aliases, domain, subscription or inherit")]
    [InlineData("subscription set system --header-from replace", 2, "use off, sender, rewrite, refuse or inherit")]
    [InlineData("subscription set system --sender default", 2, "use correct, reject, trust or inherit")]
    [InlineData("setting set Sender:HeaderFrom maybe", 2, "Off or Sender or Rewrite or Refuse")]
    [InlineData("mailbox set info@nix.test --alias a@nix.test", 3, "There is no mailbox info@nix.test")]
    [InlineData("message list --outcome odd", 2, "one of queued")]
    [InlineData("message list --since yesterday", 2, "is no time")]
    [InlineData("message list --cursor odd", 2, "the cursor")]
    [InlineData("explain --to a@b.example", 2, "say who sends")]
    [InlineData("network add 127.0.0.1/33", 2, "127.0.0.1/33")]
    [InlineData("dkim create shop.test --key-file /nonexistent", 2, "cannot read the key file")]
    [InlineData("queue hold --subscription nix", 3, "There is no subscription 'nix'; see: relaygate subscription list")]
    [InlineData("queue list --subscription nix", 3, "There is no subscription 'nix'; see: relaygate subscription list")]
    [InlineData("queue flush --subscription nix", 3, "There is no subscription 'nix'; see: relaygate subscription list")]
    [InlineData("queue delete --domain nix.test", 3, "There is no domain nix.test; see: relaygate domain list")]
    [InlineData("queue delete --mailbox a@nix.test", 3, "There is no mailbox a@nix.test; see: relaygate mailbox list")]
    [InlineData("message list --subscription nix", 3, "There is no subscription 'nix'; see: relaygate subscription list")]
    [InlineData("message tail --subscription nix", 3, "There is no subscription 'nix'; see: relaygate subscription list")]
    [InlineData("message list --reason nonsense", 2, "reason is 'nonsense': one of accepted, ")]
    [InlineData("queue list --state foo", 2, "state is 'foo': one of active, deferred, held, failed is expected")]
    [InlineData("limit set server --each mailbx 5/h", 2, "each is 'mailbx': one of mailbox, domain, subscription is expected")]
    [InlineData("explain --as nobody@shop.test --to a@b.example", 3, "There is no mailbox nobody@shop.test; see: relaygate mailbox list")]
    [InlineData("mailbox add a@b.example --password hunter2", 2, "unknown option '--password' of relaygate mailbox add; see: relaygate mailbox add --help")]
    [InlineData("bogus", 2, "relaygate has no command 'bogus'; see: relaygate --help")]
    [InlineData("sned --to ann@example.net", 2, "relaygate has no command 'sned'; did you mean send?")]
    [InlineData("plan lits", 2, "relaygate plan has no command 'lits'; did you mean list?")]
    [InlineData("plan", 2, "relaygate plan needs a command: ")]
    [InlineData("plan show", 2, "relaygate plan show needs NAME")]
    [InlineData("queue delete --to-domain x3.test --older-then 2h", 2, "unknown option '--older-then' of relaygate queue delete; did you mean --older-than?")]
    [InlineData("queue hold 01K3ZC9V7M01K3ZC9V7M01K3ZC --dry-rnu", 2, "unknown option '--dry-rnu' of relaygate queue hold; did you mean --dry-run?")]
    [InlineData("queue delete --domain x3.test --yess", 2, "unknown option '--yess' of relaygate queue delete; did you mean --yes?")]
    [InlineData("queue delete 01K3ZC9V7M01K3ZC9V7M01K3ZC -n", 2, "unknown option '-n' of relaygate queue delete")]
    [InlineData("plan show --jsno", 2, "unknown option '--jsno' of relaygate plan show; did you mean --json?")]
    [InlineData("queue list --to-domain @x", 2, "relaygate: --to-domain: '@x' is no domain: a name such as example.net is expected")]
    [InlineData("queue list --mailbox x", 2, "relaygate: --mailbox: 'x' is no mailbox: an address such as info@shop.test is expected")]
    [InlineData("queue rebind --domain shop.test --to-ip x --yes", 2, "relaygate: --to-ip has 'x': an IP address such as 192.0.2.11 is expected")]
    [InlineData("message list --group-by colour", 2, "relaygate: --group-by is 'colour': ")]
    [InlineData("plan show a b", 2, "'b' is one word too many for relaygate plan show; see: ")]
    [InlineData("status --sockte x", 2, "unknown option '--sockte' of relaygate status; did you mean --socket?")]
    [InlineData("demo --port abc", 2, "--port is 'abc': a whole number is expected; see: relaygate demo --help")]
    [InlineData("plan list --limit x", 2, "--limit is 'x': a whole number is expected")]
    public async Task What_is_wrong_is_one_line_on_stderr_and_its_exit_code(string arguments, int exitCode, string expected)
    {
        Run run = await RunAsync(arguments);

        Assert.Equal(exitCode, run.ExitCode);
        Assert.Empty(run.Output);
        Assert.StartsWith("relaygate: ", run.Error, StringComparison.Ordinal);
        Assert.Contains(expected, Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_version_is_asked_for_by_command_or_by_option() =>
        Assert.Equal(await OkAsync("version"), await OkAsync("--version"));

    [Fact]
    public async Task An_address_without_a_domain_is_named()
    {
        Run run = await RunAsync($"send --server {_gateway.Local} -f bogus -t ann@example.net");

        Assert.Equal((1, "refused: 501 5.1.7 The reverse-path <bogus> needs a domain\n"), (run.ExitCode, run.Output));
    }

    [Fact]
    public async Task Why_a_message_is_not_signed_is_told()
    {
        await OkAsync("plan add basic");
        await OkAsync("subscription add acme --plan basic --ipv4 127.0.0.11");
        await OkAsync("domain add shop.test --subscription acme");
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
        const string WithoutKey = "sign      none: shop.test has no key; relaygate dkim create shop.test\n";
        const string NotOwned = "sign      none: bank.example is not a domain of acme\n";

        Assert.Contains(WithoutKey, await SignAsync("info@sub.shop.test"), StringComparison.Ordinal);
        Assert.Contains(NotOwned, await SignAsync("ceo@bank.example"), StringComparison.Ordinal);
        Assert.Contains(WithoutKey, await OkAsync("explain --as info@shop.test --to ann@example.net"), StringComparison.Ordinal);
        Assert.Contains(NotOwned, await OkAsync("explain --as info@shop.test --from ceo@bank.example --to ann@example.net"), StringComparison.Ordinal);
        await OkAsync("dkim create shop.test --selector rg1");
        Assert.Contains("sign      DKIM d=shop.test s=rg1\n", await SignAsync("info@shop.test"), StringComparison.Ordinal);
        Assert.Contains(NotOwned, await SignAsync("ceo@bank.example"), StringComparison.Ordinal);
    }

    /// <summary>Sends as info@shop.test with this header From, and returns the story of it.</summary>
    private async Task<string> SignAsync(string from)
    {
        string sent = await OkAsync($"send --json --server {_gateway.Local} --login info@shop.test --from {from} --password-stdin --to ann@example.net", "secret-7");
        return await OkAsync($"message explain {JsonNode.Parse(sent)!["ref"]}");
    }

    [Fact]
    public async Task What_exists_already_is_a_conflict_and_no_gateway_is_7()
    {
        await OkAsync("plan add basic");

        Assert.Equal(5, (await RunAsync("plan add basic")).ExitCode);
        Run unreachable = await RunAsync("status", socket: _gateway.ControlSocket + "x");
        Assert.Equal(7, unreachable.ExitCode);
        Assert.Contains("is it running?", unreachable.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Orders_say_what_they_did_not_do_and_the_record_says_who_gave_them()
    {
        await OkAsync("subscription add acme");
        await OkAsync("domain add shop.test --subscription acme");
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
        Assert.Equal("the queue is empty\n", await OkAsync("queue list"));
        Assert.Equal("nothing in the queue matches\n", await OkAsync("queue list --subscription acme"));
        Assert.Equal("nothing matches\n", await OkAsync("message list --subscription acme"));
        Assert.Equal("nothing was offered\n", await OkAsync("message list"));
        Assert.Equal(
            "0 messages held: nothing in the queue matches; new mail still goes: relaygate subscription suspend acme\n", await OkAsync("queue hold --subscription acme"));
        await OkAsync("subscription suspend acme");
        Assert.DoesNotContain("new mail", await OkAsync("queue hold --subscription acme"), StringComparison.Ordinal);
        await OkAsync("subscription resume acme");
        Assert.Contains("new mail still goes: relaygate mailbox suspend info@shop.test", await OkAsync("queue hold --mailbox info@shop.test"), StringComparison.Ordinal);
        Assert.Contains("new mail still goes: relaygate domain suspend shop.test", await OkAsync("queue hold --domain shop.test"), StringComparison.Ordinal);
        _nextHop.Script = static e => e.Verb == "MAIL" ? new HopAction.Raw("451 4.3.0 Later\r\n") : null;
        string sent = await OkAsync($"send --server {_gateway.Local} --login info@shop.test --password-stdin --to ann@example.net", "secret-7");
        string reference = (string)JsonNode.Parse(await OkAsync("message list --json"))!["items"]![0]!["ref"]!;

        await OkAsync($"queue hold {reference}");
        string retried = await OkAsync($"queue retry {reference}");
        await OkAsync($"queue delete {reference}");
        string[] story = (await OkAsync($"message explain {reference}")).Split('\n');

        Assert.Contains(reference, sent, StringComparison.Ordinal);
        Assert.Equal("0 messages to be tried now, 1 unchanged (held: release it first)\n", retried);
        Assert.Matches("^\\d\\d:\\d\\d:\\d\\d  held      by uid [0-9]+ \\([^)]+\\)$", Assert.Single(story, static l => l.Contains("  held ", StringComparison.Ordinal)));
        Assert.Single(story, static l => l.Contains("  deleted   by uid ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_domain_of_another_subscription_is_moved_by_what_the_refusal_names()
    {
        await OkAsync("subscription add acme");
        await OkAsync("subscription add b2");
        await OkAsync("domain add shop.test --subscription acme");

        Run refused = await RunAsync("domain add shop.test --subscription b2");
        Run again = await RunAsync("domain add shop.test --subscription acme");
        string remedy = refused.Error.Trim()[(refused.Error.LastIndexOf("relaygate ", StringComparison.Ordinal) + "relaygate ".Length)..];
        await OkAsync(remedy);
        await OkAsync("domain add shop.test --subscription b2");

        Assert.Equal((5, 5, "domain remove shop.test"), (refused.ExitCode, again.ExitCode, remedy));
        Assert.DoesNotContain("move", again.Error, StringComparison.Ordinal);
        Assert.Contains("b2", await OkAsync("domain show shop.test"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_socket_path_that_is_too_long_is_a_usage_error()
    {
        Run run = await RunAsync("status", socket: "/run/" + new string('x', 103));

        Assert.Equal(2, run.ExitCode);
        Assert.Contains("at most 107 octets", run.Error, StringComparison.Ordinal);
    }

    private Task<string> OkAsync(string arguments, string input = "") => new CommandRun(_gateway.ControlSocket).OkAsync(arguments, input);

    private Task<Run> RunAsync(string arguments, string input = "", string? socket = null) => new CommandRun(socket ?? _gateway.ControlSocket).RunAsync(arguments, input);
}
