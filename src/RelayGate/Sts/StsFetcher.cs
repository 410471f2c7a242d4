using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Tls;
using RelayGate.Dns;
using RelayGate.Tls;

namespace RelayGate.Sts;

/// <summary>Fetches policies over HTTPS (RFC 8461 §3.3).</summary>
/// <remarks>
/// The certificate is verified, redirects are not followed, the body is text/plain of 64 KiB at most, and all of it takes a minute at most.
/// Where the name leads is looked at when the connection is made: not inside this host's network, unless <c>AllowLoopback</c>.
/// </remarks>
public sealed class StsFetcher(DeliveryOptions options, OutwardDialer dialer, TrustedAuthorities authorities, TimeProvider time)
{
    private const int MaxHeaderKibibytes = 16;

    /// <summary>RFC 8461 §3.3: one minute is suggested.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    /// <summary>One attempt. Never throws for what the other side does.</summary>
    public async Task<StsFinding> FetchAsync(string domain, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(Limit, time);
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            using HttpMessageInvoker http = NewClient();
            using var request = new HttpRequestMessage(HttpMethod.Get, new UriBuilder("https", $"mta-sts.{domain}", options.Tls.MtaStsPort, "/.well-known/mta-sts.txt").Uri);
            using HttpResponseMessage response = await http.SendAsync(request, bound.Token);
            if (response.StatusCode != HttpStatusCode.OK)
                return Failed(domain, TlsResult.StsPolicyFetchError, $"answered {(int)response.StatusCode}");
            if (!string.Equals(response.Content.Headers.ContentType?.MediaType, "text/plain", StringComparison.OrdinalIgnoreCase))
                return Failed(domain, TlsResult.StsPolicyInvalid, "is not text/plain");
            return await ReadAsync(response, bound.Token) is not { } text ? Failed(domain, TlsResult.StsPolicyInvalid, $"is larger than {StsPolicy.MaxOctets} octets")
                : StsPolicy.Parse(text, out string fault) is { } policy ? new StsFinding(policy)
                : Failed(domain, TlsResult.StsPolicyInvalid, $"is not valid: {fault}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return Failed(domain, TlsResult.StsPolicyFetchError, $"did not come within {Limit.TotalSeconds:0} s");
        }
        catch (HttpRequestException e)
        {
            return Failed(domain, OutwardDialer.IsUnverified(e) ? TlsResult.StsWebPkiInvalid : TlsResult.StsPolicyFetchError, $"cannot be fetched: {OutwardDialer.Explain(e)}");
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            return Failed(domain, TlsResult.StsPolicyFetchError, "cannot be fetched: the connection failed");
        }
    }

    private static async Task<string?> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        await using Stream body = await response.Content.ReadAsStreamAsync(cancellationToken);
        var octets = new byte[StsPolicy.MaxOctets + 1];
        int read = await body.ReadAtLeastAsync(octets, octets.Length, throwOnEndOfStream: false, cancellationToken);
        return read > StsPolicy.MaxOctets ? null : Encoding.UTF8.GetString(octets, 0, read);
    }

    private HttpMessageInvoker NewClient() => new(new SocketsHttpHandler
    {
        ConnectCallback = (context, cancellationToken) => dialer.ConnectAsync(
            context.DnsEndPoint.Host, context.DnsEndPoint.Port, address => options.AllowLoopback ? null : OutwardDialer.WhyInside(address), cancellationToken),
        AllowAutoRedirect = false,
        UseProxy = false,
        UseCookies = false,
        MaxResponseHeadersLength = MaxHeaderKibibytes,
        MaxResponseDrainSize = 0,
        SslOptions = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = authorities.NewPolicy(),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        },
    });

    private static StsFinding Failed(string domain, TlsResult result, string what) => new(null, result, $"The MTA-STS policy at mta-sts.{domain} {what}");
}
