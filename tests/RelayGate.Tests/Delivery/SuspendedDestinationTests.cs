using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Mail to a destination that is suspended by hand waits without a connection, keeps its age, and goes on at resume.</summary>
public sealed class SuspendedDestinationTests
{
    private static readonly WaitKey Example = WaitKey.To("example.org");

    [Fact]
    public async Task Mail_to_a_suspended_domain_waits_without_a_connection_and_goes_on_at_resume()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        Assert.Equal(DestinationOutcome.Done, await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0 (root)", default));
        Assert.Equal(DestinationOutcome.Unchanged, await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0 (root)", default));

        await gateway.AcceptAsync("bob@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for = 'to example.org' and attempts = 0 and next_attempt is not null") == 1);

        Assert.Equal(0, hop.Connections);
        Assert.Equal(0, await gateway.Queue.Count("attempt", "stage <> 'put-off'"));
        QueueItem item = Assert.Single((await gateway.Queue.NewAdministration().ListAsync(new QueueQuery(), null, default))!.Items);
        Assert.Equal((QueueState.Deferred, "to example.org", null), (item.State, item.WaitsFor, item.NextAttempt)); // Until it is resumed: nobody knows when.
        Assert.Contains("suspended by hand since", item.LastReply, StringComparison.Ordinal);

        Assert.Equal(DestinationOutcome.Done, await gateway.Queue.Destinations.ResumeAsync(Example, "uid 0 (root)", default));
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Contains("bob@example.org", Assert.Single((await hop.NextAsync()).Rcpts), StringComparison.Ordinal);

        Assert.Equal(1, await gateway.Queue.Count("audit", "what = 'queue suspend' and object = 'destination example.org' and whom = 'uid 0 (root)'"));
        Assert.Equal(1, await gateway.Queue.Count("audit", "what = 'queue resume'"));
    }

    [Fact]
    public async Task Other_recipients_of_a_message_are_served_while_those_of_a_suspended_domain_wait()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop); // A smarthost: all recipients are of one job.
        await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0", default);

        await gateway.AcceptAsync("bob@example.org", "eve@example.net");
        ReceivedMessage first = await hop.NextAsync();
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "state = 0 and waits_for = 'to example.org' and attempts = 0") == 1);

        Assert.Contains("eve@example.net", Assert.Single(first.Rcpts), StringComparison.Ordinal);
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "state = 1") == 1 && gateway.Queue.Scheduler.InFlight == 0);
        await gateway.Queue.Destinations.ResumeAsync(Example, "uid 0", default);
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Contains("bob@example.org", Assert.Single((await hop.NextAsync()).Rcpts), StringComparison.Ordinal);
        await gateway.UntilSettledAsync();
    }

    [Theory]
    [InlineData(QueueOrder.Bounce)]
    [InlineData(QueueOrder.Delete)]
    public async Task Recipients_that_wait_for_a_connection_while_others_of_their_job_were_put_off_are_sent_nothing_once_the_message_is_returned_or_deleted(QueueOrder order)
    {
        using var busy = new SemaphoreSlim(0);
        await using var hop = new FakeNextHop();
        int mails = 0;
        hop.Script = e =>
        {
            if (e.Verb == "MAIL" && Interlocked.Increment(ref mails) == 1)
                busy.Wait(TimeSpan.FromSeconds(20));
            return null;
        };
        await using var gateway = new DeliveryGateway(hop, o => o.Delivery.Connections.PerNextHop = 1);
        await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0", default);
        await gateway.AcceptAsync("first@dest.test");
        await DeliveryGateway.UntilAsync(() => Task.FromResult(Volatile.Read(ref mails) == 1));
        await gateway.AcceptAsync("bob@example.org", "eve@example.net");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for is not null") == 1 && gateway.Service.Connections().Waiting == 1);

        QueueOrderResult ordered = await gateway.Queue.NewAdministration().RunAsync(
            new QueueOrderRequest(order, QueueSelection.All("example.org")) { Text = "Not wanted any more", By = "uid 0" }, default);
        busy.Release();

        Assert.Contains("first@dest.test", Assert.Single((await hop.NextAsync()).Rcpts), StringComparison.Ordinal);
        await DeliveryGateway.UntilAsync(() => Task.FromResult(gateway.Queue.Scheduler.InFlight == 0));
        Assert.Equal(1, ordered.Count);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task What_waits_for_a_suspended_destination_is_given_up_when_it_is_too_old()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0", default);
        await gateway.AcceptAsync("bob@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for is not null") == 1);

        ReceivedMessage delay = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(10), TimeSpan.FromHours(5));
        ReceivedMessage failed = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromHours(2), TimeSpan.FromDays(5));

        Assert.Contains("Action: delayed", delay.Text, StringComparison.Ordinal);
        Assert.Contains("Action: failed", failed.Text, StringComparison.Ordinal);
        Assert.Contains("suspended by hand", failed.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_suspended_destination_stays_so_over_a_restart()
    {
        using var queue = new Queue.QueueFixture();
        await queue.Destinations.SuspendAsync(Example, "uid 0 (root)", default);
        await queue.Destinations.SuspendAsync(WaitKey.Provider("microsoft"), "uid 0 (root)", default);

        queue.Reopen();

        Assert.Equal(["to example.org", "provider microsoft"], queue.Destinations.All.Select(static d => d.Key.Text));
        Assert.NotNull(queue.Destinations.WaitForProvider("microsoft"));
        Assert.Null(queue.Destinations.WaitForDomain("example.net"));
        Assert.Equal(DestinationOutcome.Done, await queue.Destinations.ResumeAsync(Example, "uid 0", default));
        Assert.Equal(DestinationOutcome.Unchanged, await queue.Destinations.ResumeAsync(Example, "uid 0", default));
        Assert.Null(queue.Destinations.WaitForDomain("example.org"));
    }

    [Fact]
    public async Task What_is_bounced_by_hand_comes_back_to_its_sender_with_the_reason()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        gateway.Queue.Ender = new MessageEnder(gateway.Service.PlanEndAsync, gateway.Service.Tell);
        await gateway.Queue.Destinations.SuspendAsync(Example, "uid 0", default);
        await gateway.AcceptAsync("bob@example.org", "eve@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for is not null") == 2 && gateway.Queue.Scheduler.InFlight == 0);

        QueueOrderResult bounced = await gateway.Queue.NewAdministration().RunAsync(
            new QueueOrderRequest(QueueOrder.Bounce, QueueSelection.All("example.org")) { Text = "The recipient's host is gone", By = "uid 0 (root)" }, default);
        ReceivedMessage report = await hop.NextAsync();

        Assert.Equal(1, bounced.Count);
        Assert.Contains("info@acme.test", Assert.Single(report.Rcpts), StringComparison.Ordinal);
        Assert.Contains("<>", report.Mail, StringComparison.Ordinal);
        Assert.Contains("Status: 5.7.0", report.Text, StringComparison.Ordinal);
        Assert.Contains("The recipient's host is gone", report.Text, StringComparison.Ordinal);
        Assert.Equal(2, await gateway.Queue.Count("recipient", "state = 2 and attempts = 0"));
    }
}
