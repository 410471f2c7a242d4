using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;

namespace RelayGate.Dns;

/// <summary>The server's own address of a family in force; null: none is configured.</summary>
public delegate ValueTask<IPAddress?> ServerAddress(AddressFamily family, CancellationToken cancellationToken);

/// <summary>Says whether the gateway's own connections may leave from a local address: not from one that is exclusive to a subscription.</summary>
public delegate ValueTask<bool> OwnEgress(IPAddress local, CancellationToken cancellationToken);

/// <summary>Dials hosts whose names others have given us, for what the gateway does by itself: policies, TLS reports, webhooks.</summary>
/// <remarks>
/// Each address is looked at before it is dialled, so that no answer of DNS leads inside. A connection leaves from the server's address where one is
/// configured, and never from one that is a subscription's own.
/// </remarks>
public sealed class OutwardDialer(DnsResolver dns, ServerAddress serverAddress, OwnEgress mayLeaveFrom)
{
    private const string NoAddress = "this host has no address of its own to ask from (Egress:IPv4, Egress:IPv6)";

    /// <summary>Connects to the first address that may be dialled and answers.</summary>
    /// <param name="host">A name or an address literal.</param>
    /// <param name="whyNot">Why an address may not be dialled; null: it may.</param>
    /// <exception cref="OutwardTargetException">None could be.</exception>
    internal async ValueTask<Stream> ConnectAsync(string host, int port, Func<IPAddress, string?> whyNot, CancellationToken cancellationToken)
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
            try
            {
                if (await DialAsync(new IPEndPoint(address, port), cancellationToken) is { } socket)
                    return new NetworkStream(socket, ownsSocket: true);
                refused ??= NoAddress;
            }
            catch (SocketException e)
            {
                failure = e;
            }
        }
        throw failure is null
            ? new OutwardTargetException(refused ?? $"{host} has no address")
            : new OutwardTargetException($"cannot be reached: {failure.SocketErrorCode}");
    }

    /// <summary>Why an address is not one of the internet, following what cannot be done; null: it is one.</summary>
    internal static string? WhyInside(IPAddress address) => PublicAddress.WhyNot(address) is { } what ? $"it leads to {address}, which is {what}" : null;

    /// <summary>Why a request over such a connection failed, in our own words: what the other side or the system says may hold anything.</summary>
    internal static string Explain(HttpRequestException e)
    {
        if (Cause<OutwardTargetException>(e) is { } target)
            return target.Message;
        if (IsUnverified(e))
            return "its certificate cannot be verified, or TLS failed";
        return e.HttpRequestError switch
        {
            HttpRequestError.ResponseEnded => "the connection ended before an answer",
            HttpRequestError.ConfigurationLimitExceeded => "its answer's header is too large",
            HttpRequestError.InvalidResponse => "its answer is not HTTP",
            _ => "the connection failed",
        };
    }

    /// <summary>The certificate was not believed, or TLS failed.</summary>
    internal static bool IsUnverified(HttpRequestException e) => Cause<AuthenticationException>(e) is not null;

    private static T? Cause<T>(Exception e) where T : Exception
    {
        for (Exception? cause = e; cause is not null; cause = cause.InnerException)
        {
            if (cause is T found)
                return found;
        }
        return null;
    }

    /// <returns>Null: there is no address that it may leave from.</returns>
    private async ValueTask<Socket?> DialAsync(IPEndPoint remote, CancellationToken cancellationToken)
    {
        IPAddress? own = await serverAddress(remote.AddressFamily, cancellationToken);
        if (own is not null && IPAddress.IsLoopback(remote.Address) && !IPAddress.IsLoopback(own))
            own = null; // Nothing leaves this host.
        if (own is not null && !await mayLeaveFrom(own, cancellationToken))
            return null;
        var socket = new Socket(remote.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        bool isTaken = false;
        try
        {
            if (own is not null)
                socket.Bind(new IPEndPoint(own, 0));
            await socket.ConnectAsync(remote, cancellationToken);
            isTaken = own is not null || await mayLeaveFrom(((IPEndPoint)socket.LocalEndPoint!).Address, cancellationToken); // Before an octet is sent.
            return isTaken ? socket : null;
        }
        finally
        {
            if (!isTaken)
                socket.Dispose();
        }
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
