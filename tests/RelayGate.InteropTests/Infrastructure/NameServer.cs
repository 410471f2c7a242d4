namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A real authoritative name server (nsd) in a network namespace.</summary>
public static class NameServer
{
    /// <param name="zones">Name of each zone, and its file in the folder.</param>
    public static async Task<BackgroundProgram> StartAsync(NetworkNamespace inside, TestFolder folder, string address, params (string Zone, string File)[] zones)
    {
        string configuration = folder.Write("nsd.conf", $"""
            server:
              ip-address: {address}
              username: ""
              chroot: ""
              zonesdir: "{folder.FullName}"
              database: ""
              pidfile: "{folder["nsd.pid"]}"
              xfrdfile: "{folder["xfrd"]}"
              zonelistfile: "{folder["zones"]}"
              xfrdir: "{folder.FullName}"
              server-count: 1
              verbosity: 1
            remote-control:
              control-enable: no

            """ + string.Concat(zones.Select(static z => $"zone:\n  name: \"{z.Zone}\"\n  zonefile: \"{z.File}\"\n")));
        string[] command = inside.Inside("nsd", "-d", "-c", configuration);
        BackgroundProgram server = BackgroundProgram.Start(command[0], command[1..], folder.FullName);
        await server.SaysAsync("nsd started", TimeSpan.FromSeconds(10));
        return server;
    }
}
