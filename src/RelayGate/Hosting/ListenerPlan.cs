using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;

namespace RelayGate.Hosting;

/// <summary>What is listened on, from the options: made once, so that an endpoint object stands for its listener.</summary>
public sealed class ListenerPlan
{
    private readonly ListenSockets _sockets;

    public ListenerPlan(RelayGateOptions options, ListenSockets sockets)
    {
        _sockets = sockets;
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

    /// <summary>One line for each SMTP listener, then HTTP and the control socket; with the real ports once they are bound.</summary>
    public IReadOnlyList<string> Describe()
    {
        var lines = new List<string>();
        foreach ((ListenerOptions listener, EndPoint endPoint) in Submission)
        {
            bool isLoopback = endPoint is IPEndPoint ip && IPAddress.IsLoopback(ip.Address);
            string rules = (endPoint, listener.Tls) switch
            {
                (UnixDomainSocketEndPoint, _) => "identity: uid of the process",
                (_, ListenerTls.StartTls) => "STARTTLS, then AUTH",
                (_, ListenerTls.Implicit) => "TLS, AUTH",
                _ when isLoopback => "no TLS, AUTH PLAIN LOGIN SCRAM-SHA-256",
                _ => "no TLS, no AUTH: listed networks only",
            };
            lines.Add($"SMTP {Text(endPoint)} ({listener.Name}: {rules})");
        }
        if (Http is not null)
            lines.Add($"HTTP {Text(Http)} (/healthz/live, /healthz/ready, /metrics)");
        lines.Add($"Control {Text(Control)}");
        return lines;
    }

    private string Text(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint ? $"unix:{endPoint}" : (_sockets.BoundTo(endPoint) ?? endPoint).ToString()!;
}
