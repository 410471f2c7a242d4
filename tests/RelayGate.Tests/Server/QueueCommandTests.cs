using System.Text.Json.Nodes;
using RelayGate.Queue;
using RelayGate.Server.Cli;
using RelayGate.Server.Commands;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Server;

/// <summary>The verbs of the queue as they are typed, against a real gateway whose next hop is not there.</summary>
public sealed class QueueCommandTests : IAsyncLifetime
{
    private TestGateway _gateway = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync();
        foreach (string arguments in (string[])["plan add basic", "subscription add acme --plan basic --ipv4 127.0.0.11", "domain add shop.test --subscription acme"])
            await OkAsync(arguments);
        await OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");
    }

    [Fact]
    public async Task A_destination_is_suspended_shown_and_resumed_and_what_waits_is_returned_and_put_back()
    {
        Assert.Equal("domain example.net suspended: its mail is put off\n", await OkAsync("queue suspend example.net"));
        Assert.Equal("provider google suspended: its mail is put off\n", await OkAsync("queue suspend Google"));
        Run mistyped = await RunAsync("queue suspend mircosoft");
        Assert.Equal(2, mistyped.ExitCode);
        Assert.Matches("^relaygate: no provider is called mircosoft; did you mean microsoft-[a-z0-9]+ or microsoft-[a-z0-9]+\\?\n$", mistyped.Error);
        Assert.Contains("nothing is delivered to domain example.net, provider google", await OkAsync("status"), StringComparison.Ordinal);
        string sent = await OkAsync($"send --server {_gateway.Local} --login info@shop.test -f info@shop.test -t ann@example.net --password-stdin", "secret-7");
        string reference = sent[(sent.IndexOf("queued ", StringComparison.Ordinal) + 7)..][..26];
        await WaitAsync("queue list", "to example.net");

        Assert.StartsWith("Received: ", await OkAsync($"queue show {reference} --headers"), StringComparison.Ordinal);
        Assert.Contains("waits for domain example.net, suspended by hand", await OkAsync($"queue show {reference}"), StringComparison.Ordinal);
        const string Waits = "; of these wait, and are put off again while that lasts: 1 for to example.net (relaygate queue suspended)\n";
        Assert.Equal("1 message would be tried now" + Waits, await OkAsync($"queue retry {reference} --dry-run"));
        Assert.Equal("1 message to be tried now" + Waits, await OkAsync($"queue retry {reference}"));
        await WaitAsync("queue list", "to example.net");
        Assert.Equal("0 messages put back, 1 unchanged (not failed: only what failed is put back)\n", await OkAsync($"queue requeue {reference}"));
        Assert.Equal("1 message would be returned\n", await OkAsync("queue bounce --reason suspended --dry-run"));
        Assert.Equal("1 message returned\n", await OkAsync("queue bounce --to-domain example.net --text gone"));
        Assert.Contains(reference, await OkAsync("queue list --state failed"), StringComparison.Ordinal);
        Assert.Equal("1 message put back\n", await OkAsync($"queue requeue {reference}"));
        await WaitAsync("queue list", "to example.net");
        Assert.Equal("domain example.net resumed, 1 recipients that waited go on\n", await OkAsync("queue resume example.net"));
        Assert.Equal(3, (await RunAsync("queue resume example.net")).ExitCode);
        Assert.Contains("queue bounce", await OkAsync("audit list"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task In_a_pipe_an_order_for_many_needs_to_be_sure()
    {
        await _gateway.Get<QueueWriter>().WriteAsync(static db => SqliteRelayStoreTests.Execute(db, """
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 1200)
            insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, header, body)
            select 1000 + i, unhex(printf('0190%028x', i)), 'acme', 'info@shop.test', 0, 0, 'server-address' || char(9) || 'system' || char(9) || 'relay' || char(9, 9, 9, 9),
              20, 0, cast('Subject: x' || char(13, 10, 13, 10) as blob), zeroblob(6) from n
            """) + SqliteRelayStoreTests.Execute(db, """
            insert into recipient (message, position, subscription, address, notify, state, attempts, next_attempt, delay_noticed)
            select seq, 0, subscription, 'bob@example.org', 0, 0, 1, 4102444800000, 0 from message
            """));

        Run refused = await RunAsync("queue delete --subscription acme");

        Assert.Equal((2, "relaygate: 1200 messages would be deleted: say --yes to do it\n"), (refused.ExitCode, refused.Error));
        Assert.Equal("1200 messages deleted\n", await OkAsync("queue delete --subscription acme --yes"));
        Assert.Equal("the queue is empty\n", await OkAsync("queue list"));
    }

    [Fact]
    public void How_far_an_order_is_is_told_of_all_that_it_is_for()
    {
        using var client = new ControlClient("/nonexistent/control.sock");
        var verb = new QueueOrderVerb("flush", "to be tried", [], client, new Output(false));
        var step = new JsonObject { ["count"] = 400L, ["looked"] = 500L };

        Assert.Equal("400 of 1212 messages to be tried", verb.Progress(step, 1212, isCounting: false));
        Assert.Equal("500 messages looked at, 400 to be tried", verb.Progress(step, null, isCounting: false));
        Assert.Equal("500 messages looked at, 400 would be tried", verb.Progress(step, null, isCounting: true));
    }

    [Theory]
    [InlineData("""{"nextHop":"mx.test","local":"127.0.0.11","seconds":0.2}""", "delivered by mx.test in 0.2 s from 127.0.0.11")]
    [InlineData("""{"nextHop":"","local":null,"seconds":0.129}""", "delivered in 0.129 s")]
    [InlineData("""{"nextHop":"mx.test","seconds":0.1}""", "delivered by mx.test in 0.1 s")]
    public void How_an_attempt_ended_is_told_without_what_there_was_not(string attempt, string expected) =>
        Assert.Equal(expected, SendCommand.Ended(JsonNode.Parse(attempt)!, JsonNode.Parse("""{"result":"delivered"}""")!));

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    private Task<string> OkAsync(string arguments, string input = "") => new CommandRun(_gateway.ControlSocket).OkAsync(arguments, input);

    private Task<Run> RunAsync(string arguments) => new CommandRun(_gateway.ControlSocket).RunAsync(arguments);

    private async Task WaitAsync(string arguments, string expected)
    {
        for (int i = 0; i < 100; i++)
        {
            if ((await OkAsync(arguments)).Contains(expected, StringComparison.Ordinal))
                return;
            await Task.Delay(50);
        }
        Assert.Fail($"{arguments} never said {expected}");
    }
}
