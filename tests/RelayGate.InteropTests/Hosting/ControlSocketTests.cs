using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Hosting;

/// <summary>The control socket is open to every user of the host: none of them may keep an administrator from it.</summary>
public sealed class ControlSocketTests
{
    private const string HoldsConnections = """
        import socket, sys
        held = []
        for i in range(300):
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            held.append(s)
        print("held", flush=True)
        sys.stdin.read()
        """;

    [InteropFact(Programs.Root, "setpriv", Programs.Python)]
    public async Task Idle_connections_of_another_user_cost_that_user_alone()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync("--system-user", "www-data");
        await using BackgroundProgram nobody = BackgroundProgram.Start(
            "setpriv", [.. As("nobody", "nogroup"), Programs.Python, "-c", HoldsConnections, gateway.ControlSocket]);
        await nobody.SaysAsync("held", TimeSpan.FromSeconds(10));

        await gateway.CliAsync("subscription", "suspend", "acme");
        await gateway.CliAsync("status");
        using var http = new HttpClient { BaseAddress = new Uri("http://" + gateway.AdminEndpoint) };
        Assert.Equal("live\n", await http.GetStringAsync("/healthz/live"));
        (await new ProgramRun("setpriv", [.. As("www-data", "www-data"), Repository.ReadableGateway, "queue", "list", "--socket", gateway.ControlSocket]).RunAsync()).ShouldSucceed();
    }

    private static string[] As(string user, string group) => ["--reuid", user, "--regid", group, "--clear-groups"];
}
