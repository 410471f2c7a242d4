using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Dns;
using RelayGate.Telemetry;

namespace RelayGate.Notices;

/// <summary>Posts payloads to webhooks. Where a name leads is looked at when the connection is made, so that no answer of DNS leads inside.</summary>
/// <remarks>One connection for each attempt; no redirects, no proxy, no cookies; the body of the answer is not read. At most 15 s in all.</remarks>
internal sealed class WebhookClient : IDisposable
{
    private const int MaxHeaderKibibytes = 16;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly HttpRequestOptionsKey<WebhookJob> JobKey = new("job");

    private readonly OutwardDialer _dialer;
    private readonly TimeProvider _time;
    private readonly HttpClient _http;

    public WebhookClient(OutwardDialer dialer, TimeProvider time)
    {
        _dialer = dialer;
        _time = time;
        _http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = ConnectAsync,
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            PooledConnectionLifetime = TimeSpan.Zero, // What one webhook may reach, another may not.
            MaxResponseHeadersLength = MaxHeaderKibibytes,
            MaxResponseDrainSize = 0,
        })
        { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>One attempt. Never throws for what the other side does.</summary>
    /// <returns>The status of the answer, or null and why none came.</returns>
    public async Task<(int? Status, string Error)> SendAsync(WebhookJob job, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = Request(job);
        using var patience = new CancellationTokenSource(Patience, _time);
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, bound.Token);
            int status = (int)response.StatusCode;
            return (status, status is >= 200 and < 300 ? "" : status is >= 300 and < 400 ? "answered with a redirect, which is not followed" : $"answered {status}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return (null, $"no answer within {Patience.TotalSeconds:0} s");
        }
        catch (HttpRequestException e)
        {
            return (null, OutwardDialer.Explain(e));
        }
    }

    public void Dispose() => _http.Dispose();

    private HttpRequestMessage Request(WebhookJob job)
    {
        string id = QueueId.FromBytes(job.Id).ToString();
        long seconds = _time.GetUtcNow().ToUnixTimeSeconds();
        var request = new HttpRequestMessage(HttpMethod.Post, job.Url) { Content = new ByteArrayContent(job.Payload), Version = HttpVersion.Version11 };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("RelayGate", RelayGateMetrics.Version));
        request.Headers.Add("webhook-id", id);
        request.Headers.Add("webhook-timestamp", seconds.ToString(CultureInfo.InvariantCulture));
        request.Headers.Add("webhook-signature", WebhookSecret.Sign(job.Keys, id, seconds, job.Payload));
        request.Options.Set(JobKey, job);
        return request;
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        if (!context.InitialRequestMessage.Options.TryGetValue(JobKey, out WebhookJob? job))
            throw new OutwardTargetException("a connection without a delivery");
        return await _dialer.ConnectAsync(context.DnsEndPoint.Host, context.DnsEndPoint.Port, address => WebhookTarget.WhyNot(job, address), cancellationToken);
    }
}
