using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;

namespace RelayGate.Dns;

/// <summary>Dials hosts whose names others have given us. Each address is looked at before it is dialled, so that no answer of DNS leads inside.</summary>
internal sealed class OutwardDialer(DnsResolver dns)
{
    /// <summary>Connects to the first address that may be dialled and answers.</summary>
    /// <param name="host">A name or an address literal.</param>
    /// <param name="whyNot">Why an address may not be dialled; null: it may.</param>
    /// <exception cref="OutwardTargetException">None could be.</exception>
    public async ValueTask<Stream> ConnectAsync(string host, int port, Func<IPAddress, string?> whyNot, CancellationToken cancellationToken)
    {
        string? refused = null;
        SocketException? failure = null;
        foreach (IPAddress address in await ResolveAsync(host, cancellationToken))
        {
            if (whyNot(address) is { } why)
            {
                refused ??= why;
                continue;
            }
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(new IPEndPoint(address, port), cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
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
        throw failure is null
            ? new OutwardTargetException(refused ?? $"{host} has no address")
            : new OutwardTargetException($"cannot be reached: {failure.SocketErrorCode}");
    }

    /// <summary>Why a request over such a connection failed, in our own words: what the other side or the system says may hold anything.</summary>
    public static string Explain(HttpRequestException e)
    {
        for (Exception? cause = e; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case OutwardTargetException:
                    return cause.Message;
                case AuthenticationException:
                    return "its certificate cannot be verified, or TLS failed";
            }
        }
        return e.HttpRequestError switch
        {
            HttpRequestError.ResponseEnded => "the connection ended before an answer",
            HttpRequestError.ConfigurationLimitExceeded => "its answer's header is too large",
            HttpRequestError.InvalidResponse => "its answer is not HTTP",
            _ => "the connection failed",
        };
    }

    private async Task<IPAddress[]> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? literal))
            return [literal];
        if (!Domain.TryParse(host, out Domain? name))
            throw new OutwardTargetException($"{host} is no host name");
        DnsAnswer[] answers = await Task.WhenAll(
            dns.ResolveAsync(new DnsQuestion(name.Value, DnsType.A), cancellationToken).AsTask(), dns.ResolveAsync(new DnsQuestion(name.Value, DnsType.Aaaa), cancellationToken).AsTask());
        IPAddress[] found = [.. answers.SelectMany(static a => a.Records).OfType<AddressRecord>().Select(static r => r.Address)];
        if (found.Length == 0 && Array.Find(answers, static a => a.Fault is not null) is { Fault: { } fault })
            throw new OutwardTargetException(fault);
        return found;
    }
}

/// <summary>A name leads nowhere that may be dialled, or nobody answers. Its message is one line for people.</summary>
internal sealed class OutwardTargetException(string message) : IOException(message);
