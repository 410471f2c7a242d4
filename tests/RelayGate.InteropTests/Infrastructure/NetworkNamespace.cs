using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A network namespace of its own with loopback up; removed with all its interfaces at the end.</summary>
public sealed class NetworkNamespace : IAsyncDisposable
{
    private const int CloneNewNet = 0x40000000;
    private const int ReadOnlyCloseOnExec = 0x80000;
    private static int _count;

    private NetworkNamespace(string name) => Name = name;

    public string Name { get; }

    public static async Task<NetworkNamespace> CreateAsync()
    {
        var made = new NetworkNamespace($"rg{Environment.ProcessId}n{Interlocked.Increment(ref _count)}");
        await IpAsync("netns", "add", made.Name);
        await made.ConfigureAsync("link", "set", "lo", "up");
        return made;
    }

    /// <summary>Joins two namespaces by a cable and gives each end its addresses (CIDR).</summary>
    public static async Task ConnectAsync(NetworkNamespace one, string[] addressesOne, NetworkNamespace two, string[] addressesTwo)
    {
        await IpAsync("link", "add", "veth0", "netns", one.Name, "type", "veth", "peer", "name", "veth0", "netns", two.Name);
        foreach ((NetworkNamespace end, string[] addresses) in new[] { (one, addressesOne), (two, addressesTwo) })
        {
            foreach (string address in addresses)
                await end.AddAddressAsync(address);
            await end.ConfigureAsync("link", "set", "veth0", "up");
        }
    }

    public Task AddAddressAsync(string cidr) => cidr.Contains(':', StringComparison.Ordinal)
        ? ConfigureAsync("-6", "addr", "add", cidr, "dev", "veth0", "nodad")
        : ConfigureAsync("addr", "add", cidr, "dev", "veth0");

    public Task RemoveAddressAsync(string cidr) => ConfigureAsync("addr", "del", cidr, "dev", "veth0");

    /// <summary>The command line that runs <paramref name="command"/> inside.</summary>
    public string[] Inside(params string[] command) => ["ip", "netns", "exec", Name, .. command];

    /// <summary>A socket that lives inside, usable from any thread of the test.</summary>
    public Socket Listen(IPEndPoint local)
    {
        Socket? socket = null;
        ExceptionDispatchInfo? fault = null;
        var thread = new Thread(() =>
        {
            try
            {
                int descriptor = Open($"/run/netns/{Name}", ReadOnlyCloseOnExec);
                int result = SetNamespace(descriptor, CloneNewNet);
                string error = Marshal.GetLastPInvokeErrorMessage();
                _ = Close(descriptor);
                if (result != 0)
                    throw new InvalidOperationException($"setns failed: {error}");
                socket = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(local);
                socket.Listen(512);
            }
            catch (Exception e) when (e is SocketException or InvalidOperationException)
            {
                fault = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start(); // Its namespace ends with it; the socket stays where it was made.
        thread.Join();
        fault?.Throw();
        return socket!;
    }

    public async ValueTask DisposeAsync() => await IpAsync("netns", "del", Name);

    private Task ConfigureAsync(params string[] arguments) => IpAsync(["-n", Name, .. arguments]);

    private static async Task IpAsync(params string[] arguments) => (await new ProgramRun("ip", arguments).RunAsync()).ShouldSucceed();

    [DllImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static extern int SetNamespace(int descriptor, int kind);

    [DllImport("libc", EntryPoint = "open", BestFitMapping = false)]
    private static extern int Open([MarshalAs(UnmanagedType.LPStr)] string path, int flags); // FileStream wants to seek, and a namespace cannot.

    [DllImport("libc", EntryPoint = "close")]
    private static extern int Close(int descriptor);
}
