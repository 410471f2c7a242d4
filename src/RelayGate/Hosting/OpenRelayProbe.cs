using System.Collections.Immutable;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using RelayGate.Accounts;
using RelayGate.Admin;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Delivery;

namespace RelayGate.Hosting;

/// <summary>Asks each listener, on each address by which it can be reached, to relay for a stranger (requirement: nothing relays without an identity).</summary>
/// <remarks>It offers MAIL and RCPT in all forms of <see cref="RelayForms"/> and no data, so that nothing is queued even where it is taken.</remarks>
internal sealed class OpenRelayProbe(RelayGateOptions options, ListenerPlan plan, ListenSockets sockets, AccountAdministration accounts, AccountDirectory directory)
{
    private const int MaxTargets = 64; // A host may have thousands of addresses.

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    public async Task<ImmutableArray<RelayProbeResult>> RunAsync(CancellationToken cancellationToken)
    {
        Page<DomainView>? domains = (await accounts.ListDomainsAsync(null, null, 1, cancellationToken)).Value;
        var forms = new RelayForms(options.Hostname, domains is { Items: [var first, ..] } ? first.Name : options.Hostname);
        var results = ImmutableArray.CreateBuilder<RelayProbeResult>();
        foreach ((ListenerOptions listener, EndPoint announced) in plan.Submission)
        {
            foreach (EndPoint target in Reachable(sockets.BoundTo(announced) ?? announced).Take(MaxTargets))
            {
                bool isTls = listener.Tls == ListenerTls.Implicit;
                results.Add(await TryAsync(listener, target, isTls ? "TLS" : null, forms, cancellationToken));
                if (OffersStartTls(listener, target))
                    results.Add(await TryAsync(listener, target, "STARTTLS", forms, cancellationToken));
            }
        }
        return results.ToImmutable();
    }

    /// <summary>The addresses of this host by which a socket can be reached; loopback has rules of its own, so that it is no proof for the others.</summary>
    private static IEnumerable<EndPoint> Reachable(EndPoint bound)
    {
        if (bound is not IPEndPoint { Address: var address, Port: var port } || !(address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)))
            return [bound];
        return NetworkInterface.GetAllNetworkInterfaces()
            .Where(static i => i.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown)
            .SelectMany(static i => i.GetIPProperties().UnicastAddresses)
            .Select(static unicast => unicast.Address)
            .Where(a => !a.IsIPv6LinkLocal && (a.AddressFamily == AddressFamily.InterNetwork || address.Equals(IPAddress.IPv6Any)))
            .Distinct()
            .OrderByDescending(IPAddress.IsLoopback)
            .Select(a => new IPEndPoint(a, port));
    }

    private static bool OffersStartTls(ListenerOptions listener, EndPoint target) => target is IPEndPoint ip && listener.Tls == ListenerTls.StartTls
        && (!IPAddress.IsLoopback(ip.Address) || listener.LoopbackTls == ListenerTls.StartTls);

    private async Task<RelayProbeResult> TryAsync(ListenerOptions listener, EndPoint target, string? tls, RelayForms forms, CancellationToken cancellationToken)
    {
        string name = $"{listener.Name} {(target is UnixDomainSocketEndPoint ? $"unix:{target}" : target)}{(tls is null ? "" : " " + tls)}";
        string? taken = null;
        try
        {
            foreach (string sender in forms.Senders) // Each in a session of its own: errors end a session.
                taken ??= await OfferAsync(target, tls, sender, forms.Recipients, cancellationToken);
            string? identity = taken is null ? null : await IdentityAsync(target, cancellationToken);
            return new RelayProbeResult(name, forms.Senders.Length * forms.Recipients.Length, taken, identity, null);
        }
        catch (Exception e) when (e is IOException or SocketException or AuthenticationException or ObjectDisposedException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new RelayProbeResult(name, 0, null, null, e is SocketException ? "it does not take connections" : "it ended a session before all was tried");
        }
    }

    /// <returns>The first pair that was taken, or null.</returns>
    private static async Task<string?> OfferAsync(EndPoint target, string? tls, string sender, ImmutableArray<string> recipients, CancellationToken cancellationToken)
    {
        using var transport = new SmtpTransport();
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        bound.CancelAfter(Patience);
        using CancellationTokenRegistration end = bound.Token.UnsafeRegister(static t => ((SmtpTransport)t!).Abort(), transport);
        await ConnectAsync(transport, target, tls);
        await SayAsync(transport, $"MAIL FROM:<{sender}>\r\n");
        string? taken = null;
        foreach (string recipient in recipients)
        {
            if (await SayAsync(transport, $"RCPT TO:<{recipient}>\r\n") / 100 == 2)
                taken ??= $"<{sender}> to <{recipient}>";
        }
        await SayAsync(transport, "QUIT\r\n");
        return taken;
    }

    private static async Task ConnectAsync(SmtpTransport transport, EndPoint target, string? tls)
    {
        Socket socket = transport.Open(target.AddressFamily);
        await socket.ConnectAsync(target);
        if (tls == "TLS")
            await StartTlsAsync(transport);
        await ExpectAsync(transport, null, 220);
        await ExpectAsync(transport, "EHLO relay-probe.invalid\r\n", 250);
        if (tls != "STARTTLS")
            return;
        await ExpectAsync(transport, "STARTTLS\r\n", 220);
        await StartTlsAsync(transport);
        await ExpectAsync(transport, "EHLO relay-probe.invalid\r\n", 250);
    }

    private static Task StartTlsAsync(SmtpTransport transport) => transport.StartTlsAsync(new SslClientAuthenticationOptions
    {
#pragma warning disable CA5359 // It talks to itself; whether the certificate is right is another check's question.
        RemoteCertificateValidationCallback = static (_, _, _, _) => true,
#pragma warning restore CA5359
    });

    private static async Task<int> SayAsync(SmtpTransport transport, string command)
    {
        transport.Append(command);
        await transport.FlushAsync();
        return await transport.ReadReplyAsync();
    }

    private static async Task ExpectAsync(SmtpTransport transport, string? command, int code)
    {
        int answer = command is null ? await transport.ReadReplyAsync() : await SayAsync(transport, command);
        if (answer != code)
            throw new IOException($"The listener answered {answer} where {code} was due");
    }

    /// <summary>By what the probe is somebody: it comes from this process, and from the address that it goes to.</summary>
    private async Task<string?> IdentityAsync(EndPoint target, CancellationToken cancellationToken)
    {
        PeerProcess? process = target is UnixDomainSocketEndPoint ? new PeerProcess((int)NativeMethods.EffectiveUid()) : null;
        SenderIdentity identity = await directory.IdentifyAsync((target as IPEndPoint)?.Address, process, cancellationToken);
        return identity.Kind == IdentityKind.None ? null : identity.Key;
    }
}
