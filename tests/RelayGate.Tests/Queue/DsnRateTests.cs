using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>However many messages fail, a sender, and a stranger whose address was misused, get a bounded number of reports.</summary>
public sealed class DsnRateTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    public DsnRateTests()
    {
        _queue.Options.Dsn.PerSender = 3;
        _queue.Options.Dsn.Backscatter = 2;
    }

    public void Dispose() => _queue.Dispose();

    [Fact]
    public async Task A_sender_gets_no_more_reports_in_an_hour_than_allowed_also_over_a_restart()
    {
        string[] told = [await FailAsync(), await FailAsync()];
        _queue.Reopen(TimeSpan.FromMinutes(30));
        string third = await FailAsync();
        string fourth = await FailAsync();

        Assert.All([.. told, third], r => Assert.Equal(26, r.Length));
        Assert.Equal("per-sender", fourth);
        Assert.Equal(3, await _queue.Count("decision", "kind = 3"));
        Assert.Equal(1, await _queue.Count("attempt", "report = 'per-sender'"));
        Assert.Equal(26, (await FailAsync("else@acme.test")).Length); // Another sender has a count of its own.

        _queue.Time.Advance(TimeSpan.FromMinutes(31));
        Assert.Equal(26, (await FailAsync()).Length);
        Assert.InRange(await _queue.Count("dsn_rate"), 1, 2); // What is over is removed.
    }

    [Fact]
    public async Task Strangers_get_few_reports_about_the_mail_of_one_subscription_whatever_their_addresses()
    {
        string[] told = [await FailAsync("a@victim.example", isHosted: false), await FailAsync("b@victim.example", isHosted: false), await FailAsync("c@else.example", isHosted: false)];

        Assert.Equal([26, 26, "backscatter".Length], told.Select(static t => t.Length));
        Assert.Equal(26, (await FailAsync()).Length); // Those who are at home here are told as before.
        _queue.Options.Dsn.Backscatter = 0;
        Assert.Equal(26, (await FailAsync("d@else.example", isHosted: false)).Length);
    }

    [Fact]
    public async Task A_clock_that_is_set_back_does_not_silence_anybody()
    {
        for (int i = 0; i < 3; i++)
            await FailAsync();
        _queue.Time.StepWallClock(TimeSpan.FromHours(-5));

        Assert.Equal(26, (await FailAsync()).Length);
    }

    /// <returns>What the attempt says of its report.</returns>
    private async Task<string> FailAsync(string sender = "info@acme.test", bool isHosted = true)
    {
        OfferedMessage template = _queue.Message(_queue.Account());
        OfferedMessage message = template with { Early = template.Early with { ReversePath = new ReversePath(MailboxAddress.Parse(sender)) } };
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(message)).Outcome);
        DeliveryJob job = await _queue.TakeAsync();
        while (job.Message.Id != message.Id)
        {
            await _queue.EndAsync(job, DeliveryResult.Delivered); // A report that was enqueued before.
            job = await _queue.TakeAsync();
        }
        var dsn = new PreparedDsn(
            _queue.NewId(), new ForwardPath(MailboxAddress.Parse(sender)), Encoding.ASCII.GetBytes("Subject: failed\r\n\r\n"), "Text.\r\n"u8.ToArray(), false, false)
        { IsToHosted = isHosted };
        await _queue.EndAsync(job, DeliveryResult.Failed, dsn: dsn);
        return await _queue.Text($"select report from attempt where id = x'{Convert.ToHexString(message.Id.ToBytes())}'");
    }
}
