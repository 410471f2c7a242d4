using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Notices;
using RelayGate.Core.Tls;
using RelayGate.Dns;
using RelayGate.Tls;

namespace RelayGate.Sts;

/// <summary>Says whether the gateway's own connections may leave from a local address: not from one that is exclusive to a subscription.</summary>
public delegate ValueTask<bool> OwnEgress(IPAddress local, CancellationToken cancellationToken);

/// <summary>Fetches policies over HTTPS (RFC 8461 §3.3).</summary>
/// <remarks>
/// The certificate is verified, redirects are not followed, the body is text/plain of 64 KiB at most, and all of it takes a minute at most.
/// Where the name leads is looked at when the connection is made: not inside this host's network, unless <c>AllowLoopback</c>. It leaves from the
/// server's address where one is configured, and never from one that is a subscription's own.
/// </remarks>
public sealed class StsFetcher(RelayGateOptions options, DnsResolver dns, TrustedAuthorities authorities, OwnEgress mayLeaveFrom, TimeProvider time)
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
            using var request = new HttpRequestMessage(HttpMethod.Get, new UriBuilder("https", $"mta-sts.{domain}", options.Delivery.Tls.MtaStsPort, "/.well-known/mta-sts.txt").Uri);
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
        catch (Exception e) when (e is HttpRequestException or IOException or SocketException)
        {
            return Explain(domain, e);
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
        ConnectCallback = ConnectAsync,
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

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        string host = context.DnsEndPoint.Host;
        string? refused = null;
        SocketException? failure = null;
        foreach (IPAddress address in await ResolveAsync(host, cancellationToken))
        {
            if (!options.Delivery.AllowLoopback && PublicAddress.WhyNot(address) is { } why)
            {
                refused ??= $"leads to {address}, which is {why}";
                continue;
            }
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                if (OwnAddress(address.AddressFamily) is { } own && !IPAddress.IsLoopback(address))
                    socket.Bind(new IPEndPoint(own, 0));
                await socket.ConnectAsync(new IPEndPoint(address, context.DnsEndPoint.Port), cancellationToken);
                IPAddress local = ((IPEndPoint)socket.LocalEndPoint!).Address;
                if (await mayLeaveFrom(local, cancellationToken))
                    return new NetworkStream(socket, ownsSocket: true);
                socket.Dispose(); // Before an octet is sent.
                refused ??= "cannot be asked: this host has no address of its own to ask from (Egress:IPv4, Egress:IPv6)";
            }
            catch (SocketException e)
            {
                socket.Dispose();
                failure = e;
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
        throw new StsHostException(failure is not null ? $"cannot be reached: {failure.SocketErrorCode}" : refused ?? "has no address");
    }

    private IPAddress? OwnAddress(AddressFamily family) =>
        (family == AddressFamily.InterNetwork ? options.Egress.IPv4 : options.Egress.IPv6) is { } text ? IPAddress.Parse(text) : null;

    private async Task<IPAddress[]> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        DnsAnswer[] answers = await Task.WhenAll(
            dns.ResolveAsync(new DnsQuestion(host, DnsType.A), cancellationToken).AsTask(), dns.ResolveAsync(new DnsQuestion(host, DnsType.Aaaa), cancellationToken).AsTask());
        IPAddress[] found = [.. answers.SelectMany(static a => a.Records).OfType<AddressRecord>().Select(static r => r.Address)];
        return found.Length == 0 && Array.Find(answers, static a => a.Fault is not null) is { Fault: { } fault } ? throw new StsHostException($"has no address: {fault}") : found;
    }

    /// <summary>Our own words: what the other side or the system says may hold anything.</summary>
    private static StsFinding Explain(string domain, Exception e)
    {
        for (Exception? cause = e; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case StsHostException:
                    return Failed(domain, TlsResult.StsPolicyFetchError, cause.Message);
                case AuthenticationException:
                    return Failed(domain, TlsResult.StsWebPkiInvalid, "has a certificate that cannot be verified, or TLS failed");
            }
        }
        return Failed(domain, TlsResult.StsPolicyFetchError, "cannot be fetched: the connection failed, or the answer is not HTTP");
    }

    private static StsFinding Failed(string domain, TlsResult result, string what) => new(null, result, $"The MTA-STS policy at mta-sts.{domain} {what}");
}

/// <summary>A policy host that may not or cannot be dialled. Its message is one line that follows the host's name.</summary>
internal sealed class StsHostException(string message) : IOException(message);
