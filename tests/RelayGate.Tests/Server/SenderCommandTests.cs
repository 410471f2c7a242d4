using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>Senders and system users by commands alone.</summary>
public sealed class SenderCommandTests : IAsyncLifetime, IAsyncDisposable
{
    private CommandRun _relaygate = null!;
    private TestGateway _gateway = null!;
    private FakeNextHop _nextHop = null!;

    public async Task InitializeAsync()
    {
        _nextHop = new FakeNextHop();
        _gateway = await TestGateway.StartAsync(_nextHop.Url);
        _relaygate = new CommandRun(_gateway.ControlSocket);
        foreach (string command in new[] { "subscription add acme", "domain add shop.test --subscription acme", "mailbox add info@shop.test" })
            await _relaygate.OkAsync(command);
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _nextHop.DisposeAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask(); // The one that this version of the runner calls.

    [Fact]
    public async Task A_password_is_made_shown_once_and_sends()
    {
        JsonNode made = JsonNode.Parse(await _relaygate.OkAsync("sender create cron --domain shop.test --json"))!;
        string password = (string)made["password"]!;
        string send = $"send --server {_gateway.Local} --login cron --from shop@shop.test --password-stdin --to ann@example.net --json";

        string reference = (string)JsonNode.Parse(await _relaygate.OkAsync(send, password))!["ref"]!;
        await _nextHop.NextAsync();
        await _gateway.Get<AccountAdministration>().SaveUsesAsync(default);
        string story = await _relaygate.OkAsync($"message explain {reference}");
        string shown = await _relaygate.OkAsync("sender show cron");
        string listed = await _relaygate.OkAsync("sender list --subscription acme");
        string found = await _relaygate.OkAsync("message list --identity cron");
        string dryRun = await _relaygate.OkAsync("explain --as cron --to ann@example.net");
        string audit = await _relaygate.OkAsync("audit list");

        Assert.Contains("login cron (application password) -> subscription acme", story, StringComparison.Ordinal);
        Assert.Contains("domain shop.test", shown, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1", shown, StringComparison.Ordinal);
        Assert.Contains("cron", listed, StringComparison.Ordinal);
        Assert.Contains(reference, found, StringComparison.Ordinal);
        Assert.Contains("postmaster@shop.test", dryRun, StringComparison.Ordinal);
        Assert.Contains("sender cron", audit, StringComparison.Ordinal);
        foreach (string output in new[] { story, shown, listed, found, dryRun, audit, await _relaygate.OkAsync("sender list --json") })
            Assert.DoesNotContain(password, output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Passwords_are_replaced_and_senders_stopped_and_removed()
    {
        await _relaygate.OkAsync("sender create cron --mailbox info@shop.test --password-stdin", "first-1\n");
        string send = $"send --server {_gateway.Local} --login cron --from info@shop.test --password-stdin --to ann@example.net";
        await _relaygate.OkAsync(send, "first-1");

        Assert.Contains("the old password is valid until", await _relaygate.OkAsync("sender rotate cron --grace 1h --password-stdin", "second-2\n"), StringComparison.Ordinal);
        await _relaygate.OkAsync(send, "first-1");
        await _relaygate.OkAsync(send, "second-2");
        await _relaygate.OkAsync("sender suspend cron");
        Assert.Contains("550 5.7.1", (await _relaygate.RunAsync(send, "second-2")).Output, StringComparison.Ordinal);
        await _relaygate.OkAsync("sender resume cron");
        await _relaygate.OkAsync(send, "second-2");
        await _relaygate.OkAsync("sender revoke cron");
        Assert.Contains("535 5.7.8", (await _relaygate.RunAsync(send, "second-2")).Output, StringComparison.Ordinal);
        Assert.Contains("root", await _relaygate.OkAsync("uid list"), StringComparison.Ordinal);
        await _relaygate.OkAsync("uid suspend root");
        Assert.Contains("suspended", await _relaygate.OkAsync("uid list --subscription system"), StringComparison.Ordinal);
        await _relaygate.OkAsync("uid resume #0");
    }

    [Theory]
    [InlineData("sender create cron", 2, "one of --mailbox ADDRESS, --domain DOMAIN, --subscription NAME")]
    [InlineData("sender create cron --mailbox a@shop.test --domain shop.test", 2, "one of --mailbox")]
    [InlineData("sender create a@shop.test --domain shop.test", 2, "no @")]
    [InlineData("sender create cron --domain nix.test", 3, "There is no domain nix.test")]
    [InlineData("sender create cron --domain shop.test --password hunter2", 2, "unknown option '--password'")]
    [InlineData("sender show nix", 3, "There is no sender 'nix'; see: relaygate sender list")]
    [InlineData("sender rotate nix", 3, "There is no sender 'nix'")]
    [InlineData("sender rotate nix --grace soon", 2, "--grace is 'soon': a time like 30m, 2h or 7d is expected")]
    [InlineData("uid suspend nix", 3, "No subscription has a system user 'nix'; see: relaygate uid list")]
    public async Task What_is_wrong_is_one_line(string arguments, int exitCode, string expected)
    {
        Run run = await _relaygate.RunAsync(arguments);

        Assert.Equal(exitCode, run.ExitCode);
        Assert.Contains(expected, Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }
}
