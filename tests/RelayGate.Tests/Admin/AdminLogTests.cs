using System.Collections.Concurrent;
using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using RelayGate.Admin;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Admin;

/// <summary>What the log says of who changed what.</summary>
public sealed class AdminLogTests
{
    [Fact]
    public async Task A_change_is_logged_with_what_was_changed_and_without_secrets()
    {
        var log = new LineLogger();
        await using TestGateway gateway = await TestGateway.StartAsync(services: s => s.AddSingleton<ILogger<AdminDispatcher>>(log));
        using HttpClient control = gateway.Control();

        await ChangeAsync(HttpMethod.Post, "plans", new { name = "basic" });
        await ChangeAsync(HttpMethod.Post, "subscriptions", new { name = "acme", plan = "basic" });
        await ChangeAsync(HttpMethod.Post, "domains", new { name = "shop.test", subscription = "acme" });
        await ChangeAsync(HttpMethod.Post, "mailboxes", new { name = "info@shop.test", password = "secret-7" });
        await ChangeAsync(HttpMethod.Put, "limits", new { level = "mailbox", name = "info@shop.test", value = "25/h" });

        string by = $"Administration by uid {Uid()}: ";
        Assert.Equal(
            [
                $"{by}POST /api/v1/plans name=basic",
                $"{by}POST /api/v1/subscriptions name=acme",
                $"{by}POST /api/v1/domains name=shop.test subscription=acme",
                $"{by}POST /api/v1/mailboxes name=info@shop.test",
                $"{by}PUT /api/v1/limits level=mailbox name=info@shop.test value=25/h",
            ], log.Lines);

        async Task ChangeAsync(HttpMethod method, string path, object body)
        {
            using var request = new HttpRequestMessage(method, path) { Content = JsonContent.Create(body) };
            using HttpResponseMessage response = await control.SendAsync(request);
            Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
        }
    }

    private static string Uid() => File.ReadLines("/proc/self/status").First(l => l.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[1];

    private sealed class LineLogger : ILogger<AdminDispatcher>
    {
        public ConcurrentQueue<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue(formatter(state, exception));
    }
}
