using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Submission;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;
using RelayGate.Tls;

namespace RelayGate.Tests.Submission;

/// <summary>Submission on real sockets: loopback without TLS, STARTTLS, implicit TLS and a unix socket.</summary>
internal sealed class SubmissionHost : IAsyncDisposable
{
    private readonly TempFolder _folder = new();
    private readonly WebApplication _app;
    private readonly SubmissionService _service;
    private readonly ServerCertificate _certificate;

    private SubmissionHost(Action<RelayGateOptions>? configure)
    {
        (string path, string keyPath) = TestCertificate.Write(_folder.Path, Time.GetUtcNow().AddYears(20));
        Options = new RelayGateOptions { Hostname = "relay.test", MaxMessageOctets = 1_000_000, Certificate = { Path = path, KeyPath = keyPath } };
        configure?.Invoke(Options);
        _certificate = new ServerCertificate(Options.Certificate, Time, NullLogger<ServerCertificate>.Instance);
        _service = new SubmissionService(Options, null!, null!, _certificate, Metrics, Time, new ErrorLog(Errors));
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            Listen(kestrel, new() { Name = "local", Tls = ListenerTls.None });
            Listen(kestrel, new() { Name = "starttls", Tls = ListenerTls.StartTls, LoopbackTls = ListenerTls.StartTls });
            Listen(kestrel, new() { Name = "implicit", Tls = ListenerTls.Implicit });
            kestrel.ListenUnixSocket(_folder.File("s"), o => o.Run(Handler(new() { Name = "unix" })));
        });
        _app = builder.Build();
    }

    public ManualTimeProvider Time { get; } = new();

    public RelayGateOptions Options { get; }

    /// <summary>Internal errors of sessions.</summary>
    public ConcurrentBag<string> Errors { get; } = [];

    public RelayGateMetrics Metrics { get; } = new();

    public EndPoint Local { get; private set; } = null!;

    public EndPoint StartTls { get; private set; } = null!;

    public EndPoint Implicit { get; private set; } = null!;

    public EndPoint Unix => new UnixDomainSocketEndPoint(_folder.File("s"));

    public static async Task<SubmissionHost> StartAsync(Action<RelayGateOptions>? configure = null)
    {
        var host = new SubmissionHost(configure);
        await host._app.StartAsync();
        ICollection<string> addresses = host._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        IPEndPoint[] bound = [.. addresses.Where(a => !a.Contains("unix", StringComparison.Ordinal)).Select(a => IPEndPoint.Parse(new Uri(a).Authority))];
        (host.Local, host.StartTls, host.Implicit) = (bound[0], bound[1], bound[2]);
        return host;
    }

    public EndPoint Listener(string name) => name switch
    {
        "local" => Local,
        "unix" => Unix,
        "starttls" => StartTls,
        _ => throw new ArgumentException(name),
    };

    /// <summary>Moves the clock on, minute by minute, until something has happened; at most a day.</summary>
    public async Task<T> AdvanceUntilAsync<T>(Task<T> task)
    {
        await AdvanceUntilAsync((Task)task);
        return await task;
    }

    public async Task AdvanceUntilAsync(Task task)
    {
        for (int i = 0; i < 24 * 60 && !task.IsCompleted; i++)
        {
            Time.Advance(TimeSpan.FromMinutes(1));
            await Task.WhenAny(task, Task.Delay(5)); // Lets the session notice; how long it takes does not matter.
        }
        await task.WaitAsync(TimeSpan.FromSeconds(10));
    }

    /// <summary>Waits, with a bound, for what other threads are about to do.</summary>
    public static async Task UntilAsync(Func<bool> condition)
    {
        for (int i = 0; i < 2000 && !condition(); i++)
            await Task.Delay(5);
        Assert.True(condition());
    }

    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _service.Dispose();
        _certificate.Dispose();
        Metrics.Dispose();
        _folder.Dispose();
    }

    private void Listen(KestrelServerOptions kestrel, ListenerOptions listener) => kestrel.Listen(IPAddress.Loopback, 0, o => o.Run(Handler(listener)));

    private Func<ConnectionContext, Task> Handler(ListenerOptions listener) => new SubmissionConnectionHandler(listener, _service).OnConnectedAsync;

    private sealed class ErrorLog(ConcurrentBag<string> errors) : ILogger<SubmissionService>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel >= LogLevel.Error)
                errors.Add($"{formatter(state, exception)} {exception}");
        }
    }
}
