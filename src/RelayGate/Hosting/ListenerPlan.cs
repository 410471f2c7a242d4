using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;

namespace RelayGate.Hosting;

/// <summary>What is listened on, from the options: made once, so that an endpoint object stands for its listener.</summary>
public sealed class ListenerPlan
{
    public ListenerPlan(RelayGateOptions options, ListenSockets sockets)
    {
        foreach (ListenerOptions listener in options.Listeners)
        {
            if (!ListenerEndpoint.TryParse(listener.Endpoint, out EndPoint? endPoint))
                throw new ArgumentException($"Listener endpoint {listener.Endpoint} was not checked", nameof(options));
            sockets.Announce(endPoint, $"listener {listener.Name}");
            Submission.Add((listener, endPoint));
        }
        if (options.Admin.Endpoint is { } http && ListenerEndpoint.TryParseTcp(http, out IPEndPoint? httpEndPoint))
        {
            sockets.Announce(httpEndPoint, "RelayGate:Admin:Endpoint");
            Http = httpEndPoint;
        }
        AdminGroup = options.Admin.Group is { } group ? NativeMethods.GroupId(group) : null;
        Control = new UnixDomainSocketEndPoint(options.Admin.Socket);
        sockets.Announce(Control, "RelayGate:Admin:Socket", isControl: true, AdminGroup);
    }

    public List<(ListenerOptions Listener, EndPoint EndPoint)> Submission { get; } = [];

    /// <summary>For /healthz/* and /metrics; null: none.</summary>
    public EndPoint? Http { get; }

    public EndPoint Control { get; }

    /// <summary>Id of <c>Admin:Group</c>; null when the host has no such group.</summary>
    public uint? AdminGroup { get; }
}
