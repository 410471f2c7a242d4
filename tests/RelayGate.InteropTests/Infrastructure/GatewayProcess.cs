using System.Text.Json;
using System.Text.Json.Nodes;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>The real <c>relaygate serve</c> with a configuration and data in a folder of its own.</summary>
public sealed class GatewayProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartBound = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StopBound = TimeSpan.FromSeconds(20);
    private BackgroundProgram? _process;

    public GatewayProcess(string nextHop, NetworkNamespace? inside = null)
    {
        Inside = inside;
        Port = inside is null ? FreePort.Next() : 587;
        Settings = new JsonObject
        {
            ["Hostname"] = "relay.example.net",
            ["Postmaster"] = "postmaster@example.net",
            ["DataDirectory"] = "data",
            ["Listeners"] = new JsonArray(
                new JsonObject { ["Name"] = "local", ["Endpoint"] = $"127.0.0.1:{Port}", ["Tls"] = "None" },
                new JsonObject { ["Name"] = "sendmail", ["Endpoint"] = $"unix:{SubmitSocket}" }),
            ["Admin"] = new JsonObject { ["Endpoint"] = $"127.0.0.1:{(inside is null ? FreePort.Next() : 8587)}", ["Socket"] = ControlSocket, ["Group"] = "root" },
            ["Delivery"] = new JsonObject
            {
                ["NextHop"] = nextHop,
                ["Retry"] = new JsonObject { ["First"] = "00:00:01", ["Longest"] = "00:00:02", ["GiveUpAfter"] = "1.00:00:00" },
            },
            ["Notices"] = new JsonObject { ["AdministratorKinds"] = "none", ["OwnerKinds"] = "none" }, // The sink hears only what a test sends.
            ["Storage"] = new JsonObject { ["MinimumFree"] = 16 * 1024 * 1024 },
        };
    }

    /// <summary>The object "RelayGate" of appsettings.json; change it before the start.</summary>
    public JsonObject Settings { get; }

    public NetworkNamespace? Inside { get; }

    public TestFolder Folder { get; } = new();

    /// <summary>Port of the listener "local" on 127.0.0.1.</summary>
    public int Port { get; }

    public string SubmitSocket => Folder["submit.sock"];

    public string ControlSocket => Folder["control.sock"];

    public string AdminEndpoint => Settings["Admin"]!["Endpoint"]!.GetValue<string>();

    public int Id => _process!.Id;

    /// <summary>What it has written so far.</summary>
    public string Said => _process?.Said ?? "";

    /// <summary>Environment of relaygate-sendmail.</summary>
    public IReadOnlyDictionary<string, string> SendmailEnvironment => new Dictionary<string, string> { ["RELAYGATE_SUBMIT"] = SubmitSocket };

    /// <summary>Put before the command line that starts the gateway, for example to give it a file system of its own.</summary>
    public IReadOnlyList<string> Wrapper { get; init; } = [];

    public static async Task<GatewayProcess> StartAsync(SinkServer nextHop, Action<JsonObject>? configure = null)
    {
        var gateway = new GatewayProcess(nextHop.Url);
        configure?.Invoke(gateway.Settings);
        return await gateway.StartAsync();
    }

    /// <summary>Starts, or starts again after <see cref="KillAsync"/> or <see cref="StopAsync"/>; done when it says that it is ready.</summary>
    public async Task<GatewayProcess> StartAsync()
    {
        WriteSettings();
        string[] command = [.. Wrapper, Repository.Gateway, "serve", "--config", Folder["appsettings.json"]];
        if (Inside is not null)
            command = Inside.Inside(command);
        _process = BackgroundProgram.Start(command[0], command[1..], Folder.FullName);
        await _process.SaysAsync("ready", StartBound);
        return this;
    }

    public void WriteSettings() =>
        Folder.Write("appsettings.json", new JsonObject { ["RelayGate"] = Settings.DeepClone() }.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));

    public async Task KillAsync()
    {
        _process!.Signal(Signals.Kill);
        await _process.ExitAsync(StopBound);
        await _process.DisposeAsync();
    }

    /// <summary>SIGTERM, as systemd does.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> StopAsync()
    {
        _process!.Signal(Signals.Terminate);
        return await _process.ExitAsync(StopBound);
    }

    /// <summary>Runs the command line interface against this gateway.</summary>
    public Task<ProgramResult> TryCliAsync(params string[] arguments) => TryCliAsync(arguments, input: "");

    public Task<ProgramResult> TryCliAsync(string[] arguments, string input) =>
        new ProgramRun(Repository.Gateway, [.. arguments, "--socket", ControlSocket]) { InputText = input }.RunAsync();

    public async Task<string> CliAsync(params string[] arguments) => (await TryCliAsync(arguments)).ShouldSucceed().Output;

    public async Task<JsonNode> CliJsonAsync(params string[] arguments) => JsonNode.Parse(await CliAsync([.. arguments, "--json"]))!;

    public async Task AddMailboxAsync(string address, string password) =>
        (await TryCliAsync(["mailbox", "add", address, "--password-stdin"], password)).ShouldSucceed();

    /// <summary>Plan basic &gt; subscription acme &gt; shop.test &gt; info@shop.test with the password <see cref="Password"/>.</summary>
    public async Task AddShopAsync(params string[] subscriptionOptions)
    {
        await CliAsync("plan", "add", "basic");
        await CliAsync(["subscription", "add", "acme", "--plan", "basic", .. subscriptionOptions]);
        await CliAsync("domain", "add", "shop.test", "--subscription", "acme");
        await AddMailboxAsync("info@shop.test", Password);
    }

    public const string Password = "correct horse";

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await _process.DisposeAsync();
        Folder.Dispose();
    }
}
