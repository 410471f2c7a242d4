using System.Collections.Concurrent;
using System.Data.Common;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;
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
    private readonly SqliteRelayStore _store;
    private readonly AccountDirectory _directory;
    private readonly QueueWriter _writer;

    private SubmissionHost(Action<RelayGateOptions>? configure)
    {
        (string path, string keyPath) = TestCertificate.Write(_folder.Path, Time.GetUtcNow().AddYears(20));
        Options = new RelayGateOptions { Hostname = "relay.test", Postmaster = "postmaster@relay.test", MaxMessageOctets = 1_000_000, Certificate = { Path = path, KeyPath = keyPath } };
        configure?.Invoke(Options);
        _certificate = new ServerCertificate(Options.Certificate, Time, NullLogger<ServerCertificate>.Instance);
        _store = SqliteRelayStore.Open(_folder.Path);
        var usage = new UsageTable(_store, Time);
        _directory = new AccountDirectory(_store, usage, Options, Time);
        _writer = new QueueWriter(_store, usage, VersionOf, Options, Metrics, Time, NullLogger<QueueWriter>.Instance);
        Administration = new AccountAdministration(_store, _writer, _directory, usage, Time);
        _service = new SubmissionService(Options, _directory, _writer, _certificate, Metrics,
            new MailLog(Metrics, Time, NullLogger<MailLog>.Instance, new MailLogOutput(null)), Time, new ErrorLog(Errors));
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

    /// <summary>The uid that runs the test.</summary>
    public static int Uid { get; } = int.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[2], CultureInfo.InvariantCulture);

    public ManualTimeProvider Time { get; } = new();

    public RelayGateOptions Options { get; }

    /// <summary>Internal errors of sessions.</summary>
    public ConcurrentBag<string> Errors { get; } = [];

    public RelayGateMetrics Metrics { get; } = new();

    /// <summary>So many of the next binding decisions find that accounts have changed.</summary>
    public int AccountChanges { get; set; }

    public AccountAdministration Administration { get; }

    public SubmissionService Service => _service;

    /// <summary>Password hashes computed so far.</summary>
    public long PasswordHashes => _directory.PasswordHashes;

    public EndPoint Local { get; private set; } = null!;

    public EndPoint StartTls { get; private set; } = null!;

    public EndPoint Implicit { get; private set; } = null!;

    public EndPoint Unix => new UnixDomainSocketEndPoint(_folder.File("s"));

    public static async Task<SubmissionHost> StartAsync(Action<RelayGateOptions>? configure = null)
    {
        var host = new SubmissionHost(configure);
        await host._writer.WriteAsync(db =>
        {
            Seed(db);
            return true;
        });
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

    /// <summary>Moves the clock on, some seconds first and then minute by minute, until something has happened; at most a day.</summary>
    public async Task<T> AdvanceUntilAsync<T>(Task<T> task)
    {
        await AdvanceUntilAsync((Task)task);
        return await task;
    }

    public async Task AdvanceUntilAsync(Task task)
    {
        for (int i = 0; i < 24 * 60 && !task.IsCompleted; i++)
        {
            Time.Advance(i < 20 ? TimeSpan.FromSeconds(1) : TimeSpan.FromMinutes(1));
            await Task.WhenAny(task, Task.Delay(10)); // Lets the session notice; how long it takes does not matter.
        }
        await task.WaitAsync(TimeSpan.FromSeconds(10));
    }

    /// <summary>Waits for what other threads are about to do, 30 s at most.</summary>
    public static async Task UntilAsync(Func<bool> condition)
    {
        for (int i = 0; i < 6000; i++)
        {
            if (condition())
                return; // Asked once: it may be true for a moment only.
            await Task.Delay(5);
        }
        Assert.Fail("what was waited for did not happen");
    }

    /// <summary>A session of the local listener as if from an address that a test machine does not have.</summary>
    /// <param name="hungUp">Cancelled when the client hangs up.</param>
    public TestClient ConnectFrom(IPAddress address, ListenerTls tls = ListenerTls.None, CancellationToken hungUp = default)
    {
        var toServer = new Pipe();
        var toClient = new Pipe();
        var connection = new DefaultConnectionContext
        {
            Transport = new DuplexPipe(toServer.Reader, toClient.Writer),
            RemoteEndPoint = new IPEndPoint(address, 4711),
            ConnectionClosed = hungUp,
        };
        hungUp.UnsafeRegister(static writer => ((PipeWriter)writer!).Complete(), toServer.Writer);
        _ = Task.Run(async () =>
        {
            await new SubmissionConnectionHandler(new ListenerOptions { Name = "network", Tls = tls }, _service).OnConnectedAsync(connection);
            await toClient.Writer.CompleteAsync();
            await toServer.Reader.CompleteAsync();
        }, CancellationToken.None);
        return new TestClient(new DuplexPipeStream(toClient.Reader, toServer.Writer));
    }

    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _service.Dispose();
        _writer.Dispose();
        _directory.Dispose();
        _store.Dispose();
        _certificate.Dispose();
        Metrics.Dispose();
        _folder.Dispose();
    }

    /// <summary>Reads with SQL, once everything that was put in line before is written.</summary>
    public async Task<List<T>> QueryAsync<T>(string sql, Func<DbDataReader, T> read, params object?[] values)
    {
        await _writer.WriteAsync(_ => true);
        return await _store.ReadAsync(db => db.All(sql, read, values), CancellationToken.None);
    }

    /// <summary>Keeps the writer's thread in one write until the result is disposed.</summary>
    public IDisposable StopWriter()
    {
        var gate = new ManualResetEventSlim();
        using var taken = new ManualResetEventSlim();
        _ = _writer.WriteAsync(_ =>
        {
            taken.Set();
            return gate.Wait(TimeSpan.FromSeconds(60));
        });
        Assert.True(taken.Wait(TimeSpan.FromSeconds(10)));
        return new Gate(gate);
    }

    /// <summary>Changes the store with SQL, behind the back of every cache.</summary>
    public Task ExecuteAsync(string sql, params object?[] values) => _writer.WriteAsync(db =>
    {
        db.Execute(sql, values);
        return true;
    });

    /// <summary>The content of a message as it is stored: header section and body, chunks joined.</summary>
    public async Task<string> ContentAsync(string queueId)
    {
        Assert.True(QueueId.TryParse(queueId, out QueueId id), queueId);
        byte[] key = id.ToBytes();
        (byte[] header, byte[]? body) = Assert.Single(await QueryAsync(
            "select header, body from message where id = $1", row => ((byte[])row[0], row.IsDBNull(1) ? null : (byte[])row[1]), key));
        List<byte[]> chunks = await QueryAsync("select octets from chunk where id = $1 order by number", row => (byte[])row[0], key);
        return Encoding.Latin1.GetString([.. header, .. body ?? [], .. chunks.SelectMany(chunk => chunk)]);
    }

    /// <summary>Subscriptions acme (shop.test, info@shop.test "secret", the uid that runs the test) and other (other.test).</summary>
    private static void Seed(DbConnection db)
    {
        string password = ScramRecord.Create("secret", new byte[16], 4096).ToString();
        db.Execute("insert into plan (name) values ('basic')");
        db.Execute("insert into subscription (name, plan, contact) values ('acme', 'basic', 'owner@shop.test'), ('other', 'basic', null)");
        db.Execute("insert into domain (name, subscription) values ('shop.test', 'acme'), ('other.test', 'other')");
        db.Execute("insert into mailbox (address, domain, password, password_at) values ('info@shop.test', 'shop.test', $1, 1)", password);
        db.Execute("insert into mailbox (address, domain, password, password_at) values ('few@shop.test', 'shop.test', $1, 1)", password);
        db.Execute("insert into object_limit (level, name, each, value) values (4, 'few@shop.test', -1, '2/h:rcpt')");
        db.Execute("delete from system_user");
        db.Execute("insert into system_user (uid, name, subscription) values ($1, $2, 'acme')", Uid, SystemUserDatabase.TryFind(Uid, out SystemUserEntry? user) ? user.Name : $"#{Uid}");
        db.Execute("insert into network (cidr, subscription) values ('192.0.2.0/24', 'acme')");
    }

    private AccountVersion VersionOf(string? subscription)
    {
        if (AccountChanges == 0)
            return _directory.VersionOf(subscription);
        AccountChanges--;
        return new AccountVersion(-2, -2);
    }

    private void Listen(KestrelServerOptions kestrel, ListenerOptions listener) => kestrel.Listen(IPAddress.Loopback, 0, o => o.Run(Handler(listener)));

    private Func<ConnectionContext, Task> Handler(ListenerOptions listener) => new SubmissionConnectionHandler(listener, _service).OnConnectedAsync;

    private sealed class Gate(ManualResetEventSlim gate) : IDisposable
    {
        public void Dispose() => gate.Set();
    }

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

    private sealed class DuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }
}
