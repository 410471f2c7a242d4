using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;
using RelayGate.Admin;
using RelayGate.Configuration;
using RelayGate.Submission;

namespace RelayGate.Hosting;

/// <summary>Gives Kestrel our listeners: SMTP as connection handlers, HTTP on the control socket and the admin endpoint.</summary>
internal sealed class KestrelSetup(ListenerPlan plan, ListenSockets sockets, SubmissionService submission, AdminAuthority authority)
    : IConfigureOptions<KestrelServerOptions>, IConfigureOptions<SocketTransportOptions>
{
    private const int Backlog = 4096; // Kestrel's 512 is not enough for a burst of PHP processes.
    private const long MaxRequestOctets = 1024 * 1024; // The largest request is a key file.

    private const int NoUid = -1; // On the control socket, where the kernel does not tell.

    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(5); // Clients are local programs and probes, which send at once.
    private static readonly TimeSpan KeepAliveTimeout = TimeSpan.FromSeconds(20);

    private readonly HttpConnections _http = new();

    public void Configure(SocketTransportOptions options)
    {
        options.Backlog = Backlog;
        options.CreateBoundListenSocket = sockets.Bind;
        options.WaitForDataBeforeAllocatingBuffer = false; // A receive less for each command; an idle session holds 4 KiB.
    }

    public void Configure(KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        options.Limits.MaxRequestBodySize = MaxRequestOctets;
        options.Limits.RequestHeadersTimeout = HeadersTimeout;
        options.Limits.KeepAliveTimeout = KeepAliveTimeout;
        // Kestrel's own bound counts connections of all listeners and closes without a word: sessions are bounded by Sessions:Max, with a reply.
        options.Limits.MaxConcurrentConnections = null;
        foreach ((ListenerOptions listener, EndPoint endPoint) in plan.Submission)
            Listen(options, endPoint, o => o.Run(new SubmissionConnectionHandler(listener, submission).OnConnectedAsync));
        if (plan.Http is { } http)
            Listen(options, http, Http);
        Listen(options, plan.Control, Http);
    }

    private void Http(ListenOptions options)
    {
        options.Protocols = HttpProtocols.Http1;
        options.Use(next => async connection =>
        {
            ControlPeer? peer = ControlPeer.Of(connection.Features);
            int? uid = connection.LocalEndPoint is UnixDomainSocketEndPoint ? peer?.Uid ?? NoUid : null;
            _http.Enter(connection, uid, peer is not null && authority.IsAdministrator(peer));
            try
            {
                await next(connection);
            }
            finally
            {
                _http.Leave(connection);
            }
        });
    }

    private static void Listen(KestrelServerOptions options, EndPoint endPoint, Action<ListenOptions> configure)
    {
        if (endPoint is IPEndPoint ip)
            options.Listen(ip, configure);
        else
            options.Listen(endPoint, configure);
    }
}
