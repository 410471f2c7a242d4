using System.Net.Sockets;
using System.Text;

namespace RelayGate.Hosting;

/// <summary>Tells systemd where the service stands (sd_notify(3)); does nothing when it was not started by systemd.</summary>
public sealed class SystemdNotifier(string? socket)
{
    public static SystemdNotifier FromEnvironment() => new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"));

    public void Ready(string status) => Send($"READY=1\nSTATUS={status}\nMAINPID={Environment.ProcessId}");

    public void Stopping() => Send("STOPPING=1\nSTATUS=Sessions end, deliveries drain");

    private void Send(string state)
    {
        if (string.IsNullOrEmpty(socket))
            return;
        try
        {
            string path = socket[0] == '@' ? '\0' + socket[1..] : socket; // '@' stands for the abstract namespace (unix(7)).
            using var datagrams = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            datagrams.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            // systemd went away or the path is wrong: mail goes on, and systemd reports a start that timed out.
        }
    }
}
