using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Tls;

/// <summary>STARTTLS and implicit TLS with a certificate made by openssl, and with clients that verify it.</summary>
public sealed class TlsTests(TlsGateway host) : IClassFixture<TlsGateway>
{
    [InteropFact("openssl", "swaks")]
    public async Task Swaks_sends_after_STARTTLS()
    {
        (await SwaksAsync(host.StartTlsPort, "--tls", "--header", "Subject: swaks STARTTLS")).ShouldSucceed();

        SinkMessage message = await host.Sink.ReceiveAsync("Subject: swaks STARTTLS\r\n");
        Assert.Contains("ESMTPSA", message.Field("Received"), StringComparison.Ordinal);
    }

    [InteropFact("openssl", "swaks")]
    public async Task Swaks_sends_with_implicit_TLS()
    {
        (await SwaksAsync(host.ImplicitPort, "--tlsc", "--header", "Subject: swaks implicit")).ShouldSucceed();

        await host.Sink.ReceiveAsync("Subject: swaks implicit\r\n");
    }

    [InteropTheory("openssl", "curl")]
    [InlineData("smtp", false)]
    [InlineData("smtps", true)]
    public async Task Curl_verifies_the_certificate_and_sends(string scheme, bool isImplicit)
    {
        int port = isImplicit ? host.ImplicitPort : host.StartTlsPort;
        ProgramResult result = await new ProgramRun("curl", "-sS", "--ssl-reqd", "--cacert", host.Authority, "--url", $"{scheme}://localhost:{port}/client.test",
            "--user", "info@shop.test:" + GatewayProcess.Password, "--mail-from", "info@shop.test", "--mail-rcpt", "ann@example.com", "--upload-file", "-")
        { InputText = $"From: info@shop.test\r\nSubject: curl {scheme}\r\n\r\nx\r\n" }.RunAsync();

        result.ShouldSucceed();
        await host.Sink.ReceiveAsync($"Subject: curl {scheme}\r\n");
    }

    [InteropFact("openssl", "swaks")]
    public async Task Before_TLS_no_AUTH_is_offered_or_taken()
    {
        ProgramResult offered = await new ProgramRun("swaks", "--server", "127.0.0.1", "--port", $"{host.StartTlsPort}", "--quit-after", "EHLO").RunAsync();
        offered.ShouldSucceed().ShouldSay("STARTTLS");
        Assert.DoesNotContain("AUTH", offered.Output, StringComparison.Ordinal);

        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(host.StartTlsPort);
        await dialog.ReplyAsync();
        await dialog.ExpectAsync("EHLO x", "250");
        await dialog.ExpectAsync("AUTH PLAIN AGluZm9Ac2hvcC50ZXN0AGNvcnJlY3QgaG9yc2U=", "538 5.7.11");
    }

    [InteropTheory("openssl")]
    [InlineData("-tls1_2", true)]
    [InlineData("-tls1_3", true)]
    [InlineData("-tls1_1", false)]
    public async Task TLS_1_2_is_the_oldest_version(string version, bool works)
    {
        ProgramResult result = await new ProgramRun("openssl", "s_client", "-connect", $"127.0.0.1:{host.StartTlsPort}", "-starttls", "smtp", version,
            "-cipher", "ALL:@SECLEVEL=0", "-CAfile", host.Authority, "-verify_hostname", "localhost", "-brief")
        { InputText = "QUIT\r\n" }.RunAsync();

        if (works)
            result.ShouldSay("Verification: OK");
        else
            Assert.DoesNotContain("Verification: OK", result.Output + result.Error, StringComparison.Ordinal);
    }

    [InteropFact("openssl")]
    public async Task What_is_sent_along_with_STARTTLS_is_forgotten()
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(host.StartTlsPort);
        await dialog.ReplyAsync();
        await dialog.ExpectAsync("EHLO x", "250");
        await dialog.WriteAsync("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@shop.test>\r\n");
        Assert.StartsWith("220 ", await dialog.ReplyAsync(), StringComparison.Ordinal);
        using X509Certificate2 expected = X509CertificateLoader.LoadCertificateFromFile(host.Authority);
        await using var secured = new SslStream(
            dialog.Stream, leaveInnerStreamOpen: true, (_, given, _, _) => given?.GetCertHashString() == expected.GetCertHashString());
        await secured.AuthenticateAsClientAsync("localhost").WaitAsync(TimeSpan.FromSeconds(10));
        using var reader = new StreamReader(secured, Encoding.Latin1);

        // Were the injected commands still there, their replies would come first; and the session has forgotten EHLO.
        await secured.WriteAsync("NOOP\r\nMAIL FROM:<info@shop.test>\r\n"u8.ToArray());
        Assert.StartsWith("250 2.", await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)), StringComparison.Ordinal);
        Assert.StartsWith("503 ", await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)), StringComparison.Ordinal);
    }

    private static Task<ProgramResult> SwaksAsync(int port, params string[] arguments) => new ProgramRun(
        "swaks", ["--server", "127.0.0.1", "--port", $"{port}", "--auth", "PLAIN", "--auth-user", "info@shop.test", "--auth-password", GatewayProcess.Password,
            "--from", "info@shop.test", "--to", "ann@example.com", .. arguments]).RunAsync();
}

/// <summary>A gateway with a STARTTLS and an implicit TLS listener on loopback, under the rules of the network.</summary>
public sealed class TlsGateway : IAsyncLifetime
{
    public GatewayProcess Gateway { get; private set; } = null!;

    public SinkServer Sink { get; } = SinkServer.Start();

    public int StartTlsPort { get; } = FreePort.Next();

    public int ImplicitPort { get; } = FreePort.Next();

    /// <summary>The certificate, which signed itself.</summary>
    public string Authority => Gateway.Folder["relay.pem"];

    public async Task InitializeAsync()
    {
        if (Programs.Missing(["openssl"]) is not null)
            return;
        Gateway = new GatewayProcess(Sink.Url);
        (await new ProgramRun("bash", Path.Combine(Repository.Root, "certs", "make-dev-cert.sh"), "localhost", Gateway.Folder.FullName).RunAsync()).ShouldSucceed();
        Gateway.Settings["Certificate"] = new JsonObject { ["Path"] = "relay.pem", ["KeyPath"] = "relay.key" };
        JsonArray listeners = Gateway.Settings["Listeners"]!.AsArray();
        listeners.Add(new JsonObject { ["Name"] = "starttls", ["Endpoint"] = $"127.0.0.1:{StartTlsPort}", ["Tls"] = "StartTls", ["LoopbackTls"] = "StartTls" });
        listeners.Add(new JsonObject { ["Name"] = "implicit", ["Endpoint"] = $"127.0.0.1:{ImplicitPort}", ["Tls"] = "Implicit" });
        await Gateway.StartAsync();
        await Gateway.AddShopAsync();
    }

    public async Task DisposeAsync()
    {
        if (Gateway is not null)
            await Gateway.DisposeAsync();
        await Sink.DisposeAsync();
    }
}
