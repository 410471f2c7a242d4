using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.NextHops;

/// <summary>
/// A real mail server on a free port of loopback, with configuration and spool in a folder of its own, in mount and process namespaces that end with it.
/// It takes mail for dest.test and shop.test and hands it on to a sink; no@ is refused, later@ is greylisted once.
/// </summary>
internal sealed class MailServer : IAsyncDisposable
{
    public const string Postfix = "postfix", Exim = "exim", OpenSmtpd = "opensmtpd";

    /// <summary>Where tests/run.sh unpacks Exim and OpenSMTPD, which cannot be installed beside Postfix.</summary>
    private const string Unpacked = "/opt/relaygate-test-peers";
    public const string EximProgram = Unpacked + "/exim/usr/sbin/exim4", OpenSmtpdProgram = Unpacked + "/opensmtpd/usr/sbin/smtpd";

    /// <summary>
    /// Runs "$@" with the users and folders that Debian's packages would have made, seen by it alone: paths of OpenSMTPD are compiled in.
    /// </summary>
    private const string Namespace = """
        w=$1; shift
        cp /etc/passwd /etc/group "$w"
        grep -q ^Debian-exim: "$w/group" || echo Debian-exim:x:64901: >> "$w/group"
        grep -q ^Debian-exim: "$w/passwd" || echo Debian-exim:x:64901:64901::/:/usr/sbin/nologin >> "$w/passwd"
        for u in opensmtpd opensmtpq; do
          n=64902; [ $u = opensmtpd ] || n=64903
          grep -q "^$u:" "$w/group" || echo $u:x:$n: >> "$w/group"
          grep -q "^$u:" "$w/passwd" || echo $u:x:$n:$n::/var/lib/opensmtpd/empty:/usr/sbin/nologin >> "$w/passwd"
        done
        mount --bind "$w/passwd" /etc/passwd; mount --bind "$w/group" /etc/group
        echo 'lookup file' > "$w/resolv.conf"; mount --bind "$w/resolv.conf" /etc/resolv.conf
        mount -t tmpfs none /var/spool; mount -t tmpfs none /var/lib; mkdir -m 711 /var/spool/smtpd /var/lib/opensmtpd /var/lib/opensmtpd/empty
        if [ -d /opt/relaygate-test-peers/opensmtpd ]; then
          mount -t tmpfs none /usr/libexec; cp -r /opt/relaygate-test-peers/opensmtpd/usr/libexec/opensmtpd /usr/libexec
        fi
        chown postfix "$w/data" 2>/dev/null || true; chown Debian-exim "$w/spool" "$w/log" 2>/dev/null || true
        exec "$@"
        """;

    private readonly TestFolder _folder = new();
    private BackgroundProgram? _program;

    private MailServer() => Port = FreePort.Next();

    public int Port { get; }

    public string Url => $"smtp://127.0.0.1:{Port}";

    /// <summary>What a machine must have for one of them.</summary>
    public static string[] Needs(string name) => name switch
    {
        Postfix => [Programs.Mounts, "postfix"],
        Exim => [Programs.Mounts, EximProgram],
        _ => [Programs.Mounts, OpenSmtpdProgram],
    };

    /// <param name="sink">Where it hands mail on to.</param>
    /// <param name="settings">Lines of its own configuration, in its own words.</param>
    public static async Task<MailServer> StartAsync(string name, SinkServer sink, params string[] settings)
    {
        var server = new MailServer();
        foreach (string sub in (string[])["spool", "data", "log"])
            Directory.CreateDirectory(server._folder[sub]);
        string[] command = name switch
        {
            Postfix => server.ConfigurePostfix(sink, settings),
            Exim => server.ConfigureExim(sink, settings),
            _ => server.ConfigureOpenSmtpd(sink, settings),
        };
        server._program = BackgroundProgram.Start("unshare", ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", Namespace, "sh", server._folder.FullName, .. command]);
        await Eventually.TrueAsync(server.GreetsAsync, $"a greeting of {name}", TimeSpan.FromSeconds(30));
        return server;
    }

    public string Said => _program!.Said;

    /// <summary>A certificate with its key in one file each, as all three want them.</summary>
    public static (string Certificate, string Key) MakeCertificate(TestFolder folder)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=mx.dest.test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 made = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        string keyPath = folder.Write("key.pem", key.ExportPkcs8PrivateKeyPem());
        return (folder.Write("certificate.pem", made.ExportCertificatePem()), keyPath);
    }

    public async ValueTask DisposeAsync()
    {
        if (_program is not null)
            await _program.DisposeAsync();
        _folder.Dispose();
    }

    private async Task<bool> GreetsAsync()
    {
        if (_program!.HasExited)
            Assert.Fail($"It ended: {_program.Said}");
        try
        {
            using SmtpDialog dialog = await SmtpDialog.ConnectAsync(Port);
            return (await dialog.ReplyAsync())?.StartsWith("220", StringComparison.Ordinal) == true;
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            return false; // Not up yet.
        }
    }

    private string[] ConfigurePostfix(SinkServer sink, string[] settings)
    {
        Directory.CreateDirectory(_folder["etc"]);
        _folder.Write("etc/main.cf", $$"""
            compatibility_level = 3.6
            queue_directory = {{_folder["spool"]}}
            data_directory = {{_folder["data"]}}
            command_directory = /usr/sbin
            daemon_directory = /usr/lib/postfix/sbin
            maillog_file = /dev/stdout
            myhostname = mx.dest.test
            mydestination =
            mynetworks =
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            relay_domains = dest.test, shop.test
            relayhost = [127.0.0.1]:{{sink.EndPoint.Port}}
            smtp_dns_support_level = disabled
            smtp_host_lookup = native
            smtpd_peername_lookup = no
            smtpd_relay_restrictions = reject_unauth_destination
            smtpd_recipient_restrictions = check_recipient_access inline:{ {no@dest.test = 550 5.1.1 No such user}, {later@dest.test = defer_if_permit 4.7.1 Greylisted} }
            local_recipient_maps =
            alias_maps =
            alias_database =
            smtp_line_length_limit = 0
            disable_mime_output_conversion = yes
            {{string.Join('\n', settings)}}

            """);
        _folder.Write("etc/master.cf", $"""
            127.0.0.1:{Port} inet n - n - - smtpd
            cleanup   unix n - n - 0 cleanup
            qmgr      unix n - n 300 1 qmgr
            tlsmgr    unix - - n 1000? 1 tlsmgr
            rewrite   unix - - n - - trivial-rewrite
            bounce    unix - - n - 0 bounce
            defer     unix - - n - 0 bounce
            trace     unix - - n - 0 bounce
            proxymap  unix - - n - - proxymap
            smtp      unix - - n - - smtp
            relay     unix - - n - - smtp
            error     unix - - n - - error
            retry     unix - - n - - error
            anvil     unix - - n - 1 anvil
            scache    unix - - n - 1 scache
            postlog   unix-dgram n - n - 1 postlogd

            """);
        return ["postfix", "-c", _folder["etc"], "start-fg"];
    }

    private string[] ConfigureExim(SinkServer sink, string[] settings)
    {
        string configuration = _folder.Write("exim.conf", $$"""
            SPOOL = {{_folder["spool"]}}
            exim_path = {{EximProgram}}
            primary_hostname = mx.dest.test
            spool_directory = SPOOL
            log_file_path = {{_folder["log"]}}/%slog
            pid_file_path =
            local_interfaces = 127.0.0.1
            daemon_smtp_ports = {{Port}}
            disable_ipv6 = true
            host_lookup =
            rfc1413_query_timeout = 0s
            dns_dnssec_ok = 0
            deliver_drop_privilege = true
            accept_8bitmime = true
            {{string.Join('\n', settings)}}
            acl_smtp_rcpt = acl_rcpt
            begin acl
            acl_rcpt:
              deny  local_parts = no
                    message = 5.1.1 No such user
              defer local_parts = later
                    condition = ${if exists{SPOOL/seen}{no}{yes} }
                    set acl_m0 = ${run{/usr/bin/touch SPOOL/seen} }
                    message = 4.7.1 Greylisted
              accept domains = dest.test : shop.test
              deny  message = relay not permitted
            begin routers
            onward:
              driver = manualroute
              route_list = * 127.0.0.1 byname
              self = send
              transport = out
            begin transports
            out:
              driver = smtp
              port = {{sink.EndPoint.Port}}
              allow_localhost
              hosts_avoid_tls = *
              message_linelength_limit = 1000000
              dnssec_request_domains =
            begin retry
            * * F,1h,1s

            """);
        File.SetUnixFileMode(configuration, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        return [EximProgram, "-C", configuration, "-bdf", "-q1m"];
    }

    private string[] ConfigureOpenSmtpd(SinkServer sink, string[] settings)
    {
        string configuration = _folder.Write("smtpd.conf", $$"""
            {{string.Join('\n', settings.Where(s => !s.StartsWith("listen ", StringComparison.Ordinal)))}}
            listen on 127.0.0.1 port {{Port}} hostname mx.dest.test {{string.Join(' ', settings.Where(s => s.StartsWith("listen ", StringComparison.Ordinal)).Select(s => s[7..]))}}
            action "onward" relay host "smtp://127.0.0.1:{{sink.EndPoint.Port}}" helo mx.dest.test
            match from any for rcpt-to "no@dest.test" reject
            match from any for domain "dest.test" action "onward"
            match from any for domain "shop.test" action "onward"

            """);
        return [OpenSmtpdProgram, "-d", "-f", configuration];
    }
}
