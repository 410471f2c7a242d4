using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Hosting;

/// <summary>What a whole gateway does about credentials beside their sessions.</summary>
public sealed class SenderUpkeepTests
{
    [Fact]
    public async Task Queued_mail_of_a_suspended_credential_is_held_and_keeps_it_from_being_removed()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(); // Nobody listens at its next hop.
        string password = await AddAsync(gateway);
        string id = await SendAsync(gateway, password);
        var accounts = gateway.Get<AccountAdministration>();

        SenderLoginTests.Value(await accounts.SetSenderSuspendedAsync("app", true, default));

        await DeliveryGateway.UntilAsync(async () => await StateAsync(gateway, id) == QueueState.Held);
        AdminResult<SenderView> refused = await accounts.RevokeSenderAsync("app", default);
        Assert.Equal(AdminErrorKind.InUse, refused.Error?.Kind);
        SenderLoginTests.Value(await accounts.SetSenderSuspendedAsync("app", false, default));
        await DeliveryGateway.UntilAsync(async () => await StateAsync(gateway, id) != QueueState.Held);
        SenderLoginTests.Value(await accounts.RevokeSenderAsync("app", default));
    }

    [Fact]
    public async Task Uses_that_were_not_written_yet_survive_a_stop()
    {
        using var folder = new TempFolder();
        await using (TestGateway gateway = await TestGateway.StartAsync(folder: folder))
        {
            await SendAsync(gateway, await AddAsync(gateway));
            await gateway.StopAsync();
        }

        await using TestGateway again = await TestGateway.StartAsync(folder: folder);

        IdentityUse use = SenderLoginTests.Value(await again.Get<AccountAdministration>().ShowSenderAsync("app", default)).Use;
        Assert.Equal(1, use.Uses);
        Assert.Equal(["127.0.0.1"], use.Addresses);
    }

    private static async Task<string> AddAsync(TestGateway gateway)
    {
        var accounts = gateway.Get<AccountAdministration>();
        SenderLoginTests.Value(await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default));
        SenderLoginTests.Value(await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default));
        return SenderLoginTests.Value(await accounts.CreateSenderAsync("app", new AccountKey(Level.Domain, "shop.test"), null, default)).Password!;
    }

    private static async Task<string> SendAsync(TestGateway gateway, string password)
    {
        await using TestClient client = await TestClient.GreetAsync(gateway.Local);
        await client.LogInAsync("app", password);
        return TestClient.RefOf(await client.OfferAsync("From: info@shop.test\r\n\r\nx"));
    }

    private static async Task<QueueState?> StateAsync(TestGateway gateway, string id)
    {
        Assert.True(QueueId.TryParse(id, out QueueId known));
        QueuePage page = (await gateway.Get<QueueAdministration>().ListAsync(new QueueQuery { Id = known }, null, default))!;
        return page.Items is [var item] ? item.State : null;
    }
}
