using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace RelayGate.Tests.Fakes;

/// <summary>A request as the receiver saw it.</summary>
public sealed record HookRequest(string Id, string Timestamp, string Signatures, string ContentType, byte[] Payload)
{
    /// <summary>Whether one of the signatures is that of a secret, computed as the specification has it.</summary>
    public bool IsSignedWith(string secret)
    {
        byte[] key = Convert.FromBase64String(secret["whsec_".Length..]);
        byte[] mac = HMACSHA256.HashData(key, (byte[])[.. Encoding.UTF8.GetBytes($"{Id}.{Timestamp}."), .. Payload]);
        return Signatures.Split(' ').Contains("v1," + Convert.ToBase64String(mac));
    }
}

/// <summary>An HTTP server on loopback that takes webhooks and answers as a test tells it to.</summary>
public sealed class WebhookReceiver : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly SemaphoreSlim _received = new(0);

    private WebhookReceiver(WebApplication app) => _app = app;

    public ConcurrentQueue<HookRequest> Requests { get; } = new();

    /// <summary>Answers a request; by default 204.</summary>
    public Func<HttpContext, Task> Answer { get; set; } = context =>
    {
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    };

    public string Url { get; private set; } = "";

    public static async Task<WebhookReceiver> StartAsync(bool withTls = false)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>(); // Signals are the test runner's.
        builder.WebHost.ConfigureKestrel(o => o.Listen(IPAddress.Loopback, 0, l =>
        {
            if (withTls)
                l.UseHttps(Certificate());
        }));
        WebApplication app = builder.Build();
        var receiver = new WebhookReceiver(app);
        app.Run(receiver.TakeAsync);
        await app.StartAsync();
        receiver.Url = app.Urls.Single() + "/hook";
        return receiver;
    }

    /// <summary>Waits for the next request, 10 s at most.</summary>
    public async Task<HookRequest> NextAsync()
    {
        Assert.True(await _received.WaitAsync(TimeSpan.FromSeconds(10)), "No request came");
        Assert.True(Requests.TryDequeue(out HookRequest? request));
        return request;
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private static X509Certificate2 Certificate()
    {
        using var folder = new TempFolder();
        (string path, string keyPath) = TestCertificate.Write(folder.Path, TimeProvider.System.GetUtcNow().AddDays(30), "127.0.0.1");
        return X509Certificate2.CreateFromPemFile(path, keyPath);
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var payload = new MemoryStream();
        await context.Request.Body.CopyToAsync(payload);
        Requests.Enqueue(new HookRequest(
            context.Request.Headers["webhook-id"]!, context.Request.Headers["webhook-timestamp"]!, context.Request.Headers["webhook-signature"]!,
            context.Request.ContentType!, payload.ToArray()));
        await Answer(context);
        _received.Release();
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
