using Microsoft.Data.Sqlite;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;
using SQLitePCL;

namespace RelayGate.Tests.Delivery;

/// <summary>What a next hop has taken is recorded, whatever happens afterwards: nobody gets a message twice.</summary>
public sealed class WonOutcomesTests
{
    [Fact]
    public async Task An_error_in_a_later_round_leaves_what_the_first_has_won()
    {
        await using var hop = TakesOneAtOnce();
        await using var gateway = new DeliveryGateway(hop);
        gateway.Queue.Egress = EgressChoice.SystemDefault;
        gateway.MayLeaveFrom = (_, _, _) => hop.Messages.IsEmpty ? new(true) : throw new InvalidOperationException("The store cannot be read");

        await gateway.AcceptAsync("b@example.org", "c@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 1);

        Assert.Equal("250 2.0.0 Ok: queued as 1", await gateway.Queue.Text("select last_reply from recipient where state = 1"));
        Assert.Equal("1", await gateway.Queue.Text("select cast(group_concat(position) as text) from recipient where state = 0"));
        gateway.MayLeaveFrom = (_, _, _) => new(true);
        Assert.Equal("RCPT TO:<b@example.org>", Assert.Single((await hop.NextAsync()).Rcpts));
        ReceivedMessage second = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(10));
        Assert.Equal("RCPT TO:<c@example.org>", Assert.Single(second.Rcpts));
    }

    [Fact]
    public async Task A_stop_in_a_later_round_leaves_what_the_first_has_won()
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var hop = TakesOneAtOnce();
        await using var gateway = new DeliveryGateway(hop);
        gateway.Queue.Egress = EgressChoice.SystemDefault;
        gateway.MayLeaveFrom = async (_, _, token) =>
        {
            if (hop.Messages.IsEmpty)
                return true;
            reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, token);
            return true;
        };

        await gateway.AcceptAsync("b@example.org", "c@example.org");
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await StopNowAsync(gateway);

        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 1 and position = 0"));
        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0 and position = 1"));
    }

    [Fact]
    public async Task A_stop_before_anything_was_decided_is_no_attempt()
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        gateway.MayLeaveFrom = async (_, _, token) =>
        {
            reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, token);
            return true;
        };

        await gateway.AcceptAsync("b@example.org");
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await StopNowAsync(gateway);

        Assert.Equal(0, await gateway.Queue.Count("attempt"));
        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0 and attempts = 0"));
    }

    [Fact]
    public async Task A_stop_ends_although_an_outcome_cannot_be_written()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        await DeliverToFullDiskAsync(gateway, hop);

        await StopNowAsync(gateway);

        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0"));
    }

    [Fact]
    public async Task A_stop_tries_once_more_to_write_what_could_not_be_written()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        await DeliverToFullDiskAsync(gateway, hop);

        gateway.Queue.Writer.CommitFault = default;
        await StopNowAsync(gateway);

        Assert.Equal(1, await gateway.Queue.Count("attempt"));
        Assert.Equal(0, await gateway.Queue.Count("message"));
    }

    private static async Task DeliverToFullDiskAsync(DeliveryGateway gateway, FakeNextHop hop)
    {
        hop.Script = e =>
        {
            if (e.Verb == "content")
                gateway.Queue.Writer.CommitFault = (() => throw new SqliteException("disk full", raw.SQLITE_FULL), null);
            return null;
        };
        await gateway.AcceptAsync("b@example.org");
        await DeliveryGateway.UntilAsync(() => Task.FromResult(gateway.Queue.Writer.OutcomesWait));
    }

    private static async Task StopNowAsync(DeliveryGateway gateway)
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await gateway.Service.StopAsync(now.Token).WaitAsync(TimeSpan.FromSeconds(10));
    }

    /// <summary>A next hop that takes one recipient in each transaction.</summary>
    private static FakeNextHop TakesOneAtOnce()
    {
        int inTransaction = 0;
        return new FakeNextHop
        {
            Extensions = ["PIPELINING"],
            Script = e =>
            {
                inTransaction = e.Verb == "MAIL" ? 0 : inTransaction;
                return e.Verb == "RCPT" && ++inTransaction > 1 ? new HopAction.Raw("452 4.5.3 Too many recipients\r\n") : null;
            },
        };
    }
}
