using System.Net;
using System.Net.Http.Headers;
using RelayGate.Dns;
using RelayGate.Telemetry;

namespace RelayGate.TlsReports;

/// <summary>Posts reports to https: addresses (RFC 8460 §5.4). 30 s in all; no redirects, no proxy; the body of the answer is not read.</summary>
/// <remarks>
/// The certificate is not verified, as §3 allows: a report is about broken certificates, and names nothing that is secret. Addresses that are not of
/// the internet are not dialled, because the address comes from anybody's DNS.
/// </remarks>
internal sealed class TlsReportPoster : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly HttpClient _http;

    /// <param name="allowLoopback">For tests and demos: loopback may be dialled.</param>
    public TlsReportPoster(OutwardDialer dialer, bool allowLoopback)
    {
        _http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = (context, cancellationToken) => dialer.ConnectAsync(
                context.DnsEndPoint.Host, context.DnsEndPoint.Port,
                address => allowLoopback && IPAddress.IsLoopback(address) ? null : OutwardDialer.WhyInside(address), cancellationToken),
#pragma warning disable CA5359 // As the standard allows; see above.
            SslOptions = { RemoteCertificateValidationCallback = static (_, _, _, _) => true },
#pragma warning restore CA5359
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            PooledConnectionLifetime = TimeSpan.Zero,
            MaxResponseHeadersLength = 16,
            MaxResponseDrainSize = 0,
        })
        { Timeout = Patience };
    }

    /// <summary>One attempt. Never throws for what the other side does.</summary>
    /// <returns>"" when it was taken, else why not.</returns>
    public async Task<string> PostAsync(Uri target, byte[] packed, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, target) { Content = new ByteArrayContent(packed), Version = HttpVersion.Version11 };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/tlsrpt+gzip");
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("RelayGate", RelayGateMetrics.Version));
        try
        {
            using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return response.IsSuccessStatusCode ? "" : $"answered {(int)response.StatusCode}";
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return $"no answer within {Patience.TotalSeconds:0} s";
        }
        catch (HttpRequestException e)
        {
            return OutwardDialer.Explain(e);
        }
    }

    public void Dispose() => _http.Dispose();
}
