using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Clients;

/// <summary>A gateway on loopback with one mailbox, info@shop.test, and a sink behind it. Needs no rights.</summary>
public sealed class LoopbackGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public SinkServer Sink { get; } = SinkServer.Start();

    public string Server => $"127.0.0.1:{Gateway.Port}";

    public async Task InitializeAsync()
    {
        Gateway = await GatewayProcess.StartAsync(Sink);
        await Gateway.AddShopAsync();
        foreach (string level in (string[])["mailbox info@shop.test", "domain shop.test", "subscription acme"])
            await Gateway.CliAsync(["limit", "set", .. level.Split(' '), "100000/h"]);
    }

    public async Task DisposeAsync()
    {
        await Gateway.DisposeAsync();
        await Sink.DisposeAsync();
    }
}
