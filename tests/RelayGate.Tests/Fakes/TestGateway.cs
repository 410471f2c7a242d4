using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Hosting;

namespace RelayGate.Tests.Fakes;

/// <summary>
/// A whole gateway inside the test: real listeners (a free loopback port, unix sockets in a folder of its own), real SQLite, its next hop as given.
/// </summary>
public sealed class TestGateway : IAsyncDisposable
{
    private readonly TempFolder _folder;
    private readonly bool _ownsFolder;
    private WebApplication _app = null!;

    private TestGateway(TempFolder folder, bool ownsFolder, RelayGateOptions options)
    {
        _folder = folder;
        _ownsFolder = ownsFolder;
        Options = options;
    }

    public RelayGateOptions Options { get; }

    public IServiceProvider Services => _app.Services;

    /// <summary>Where listener "local" listens: no TLS, AUTH allowed.</summary>
    public IPEndPoint Local { get; private set; } = null!;

    /// <summary>Path of listener "sendmail".</summary>
    public string SubmitSocket => _folder.File("submit.sock");

    public string ControlSocket => _folder.File("control.sock");

    public string DataDirectory => _folder.File("data");

    /// <summary>Starts a gateway. With the same folder as one that was stopped, it goes on with its store.</summary>
    /// <param name="nextHop"><c>smtp://127.0.0.1:port</c> or <c>mx</c>; by default nobody listens there.</param>
    /// <param name="configure">Changes options before the start.</param>
    /// <param name="time">Null: the system's.</param>
    /// <param name="folder">Null: a new one, removed at the end.</param>
    public static async Task<TestGateway> StartAsync(
        string nextHop = "smtp://127.0.0.1:9", Action<RelayGateOptions>? configure = null, TimeProvider? time = null, TempFolder? folder = null,
        Action<IServiceCollection>? services = null)
    {
        bool ownsFolder = folder is null;
        folder ??= new TempFolder();
        var options = new RelayGateOptions
        {
            Hostname = "relay.test",
            Postmaster = "postmaster@relay.test",
            DataDirectory = folder.File("data"),
            Listeners = new List<ListenerOptions>
            {
                new() { Name = "local", Endpoint = "127.0.0.1:0" },
                new() { Name = "sendmail", Endpoint = "unix:" + folder.File("submit.sock") },
            },
        };
        options.Admin.Endpoint = null;
        options.Admin.Group = null;
        options.Admin.Socket = folder.File("control.sock");
        options.Delivery.NextHop = nextHop;
        options.Storage.MinimumFree = 1_048_576;
        configure?.Invoke(options);
        var gateway = new TestGateway(folder, ownsFolder, options);
        try
        {
            await gateway.RunAsync(time, services);
        }
        catch
        {
            if (ownsFolder)
                folder.Dispose();
            throw;
        }
        return gateway;
    }

    public T Get<T>() where T : notnull => Services.GetRequiredService<T>();

    /// <summary>Where a listener listens, with its real port.</summary>
    public EndPoint EndPointOf(string listener)
    {
        EndPoint announced = Get<ListenerPlan>().Submission.First(l => l.Listener.Name == listener).EndPoint;
        return Get<ListenSockets>().BoundTo(announced)!;
    }

    /// <summary>The HTTP API over the control socket, by the user who runs the tests: an administrator.</summary>
    public HttpClient Control() => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancellationToken) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(ControlSocket), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        },
    })
    { BaseAddress = new Uri("http://relaygate/api/v1/") };

    /// <summary>Stops as SIGTERM does; the folder stays until <see cref="DisposeAsync"/>.</summary>
    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        if (_ownsFolder)
            _folder.Dispose();
    }

    private async Task RunAsync(TimeProvider? time, Action<IServiceCollection>? services)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.Services.AddRoutingCore();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        if (time is not null)
            builder.Services.AddSingleton(time);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>(); // Signals are the test runner's.
        builder.Services.AddRelayGate(Options);
        services?.Invoke(builder.Services);
        _app = builder.Build();
        try
        {
            _app.UseRouting();
            _app.MapRelayGate();
            await _app.StartAsync();
            if (Options.Listeners.Any(l => l.Name == "local"))
                Local = (IPEndPoint)EndPointOf("local");
        }
        catch
        {
            await _app.DisposeAsync();
            throw;
        }
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
