using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Routes to smarthosts: their order, the login there, and who may share a connection.</summary>
public sealed class SmarthostTests
{
    private static readonly SmarthostLogin Login = new("acme", "pa$s=,wörd");

    [Theory]
    [InlineData("PLAIN LOGIN SCRAM-SHA-256", "SCRAM-SHA-256")]
    [InlineData("LOGIN PLAIN CRAM-MD5", "PLAIN")]
    [InlineData("login", "LOGIN")]
    public async Task The_best_mechanism_that_is_offered_logs_in(string offered, string expected)
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING", "AUTH " + offered] };
        hop.Logins[Login.User] = Login.Password;
        using var harness = Harness(Of(hop.Url) with { Login = Login });

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal($"acme by {expected}", (await hop.NextAsync()).Login);
    }

    [Theory]
    [InlineData("AUTH SCRAM-SHA-256", "4.7.8")]
    [InlineData("AUTH PLAIN", "4.7.8")]
    [InlineData("AUTH CRAM-MD5", "4.7.4")]
    [InlineData("PIPELINING", "4.7.4")]
    public async Task A_login_that_is_refused_or_impossible_defers_and_is_told(string extension, string status)
    {
        await using var hop = new FakeNextHop { Extensions = [extension] };
        hop.Logins[Login.User] = "another";
        using var harness = Harness(Of(hop.Url) with { Login = Login });

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, status, DeliveryStage.Auth), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status, result.Stage));
        Assert.Equal(result.Outcomes[0]!.Text, Assert.Single(harness.LoginRefusals).Text);
        Assert.DoesNotContain(hop.Commands, static c => c.StartsWith("MAIL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_smarthost_that_wants_a_login_fails_no_recipient()
    {
        await using var hop = new FakeNextHop { Script = static e => e.Verb == "MAIL" ? new HopAction.Raw("530 5.7.0 Authentication required\r\n") : null };
        using var harness = Harness(Of(hop.Url));

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "4.7.8"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Single(harness.LoginRefusals);
    }

    [Fact]
    public async Task A_refused_login_goes_on_to_the_next_smarthost()
    {
        await using var first = new FakeNextHop { Extensions = ["AUTH PLAIN"] };
        await using var second = new FakeNextHop { Extensions = ["AUTH PLAIN"] };
        second.Logins[Login.User] = Login.Password;
        using var harness = Harness(Of($"{first.Url} {second.Url}") with { Login = Login });

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
        Assert.Equal("acme by PLAIN", (await second.NextAsync()).Login);
    }

    [Fact]
    public async Task Smarthosts_are_tried_by_priority_and_equals_share()
    {
        await using var one = new FakeNextHop();
        await using var two = new FakeNextHop();
        await using var last = new FakeNextHop();
        using var dead = new DeadPort();
        using var harness = Harness(Of($"smtp://127.0.0.1:{dead.Port} {one.Url},{two.Url} {last.Url}"));

        for (int i = 0; i < 40; i++)
            Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);

        Assert.Equal((40, 0), (one.Messages.Count + two.Messages.Count, last.Messages.Count));
        Assert.False(one.Messages.IsEmpty || two.Messages.IsEmpty);
    }

    [Fact]
    public async Task Connections_are_never_shared_between_logins()
    {
        await using var hop = new FakeNextHop { Extensions = ["AUTH PLAIN"] };
        hop.Logins["acme"] = "a";
        hop.Logins["beta"] = "b";
        Route? route = null;
        using var harness = new DeliveryHarness("mx", routes: () => new RouteTable([], [route!]));

        foreach (string user in new[] { "acme", "beta", "acme", "beta", "" })
        {
            route = Of(hop.Url) with { Login = user.Length == 0 ? null : new SmarthostLogin(user, user[..1]) };
            Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
        }

        Assert.Equal(["acme by PLAIN", "beta by PLAIN", "acme by PLAIN", "beta by PLAIN", ""], hop.Messages.Select(static m => m.Login));
        Assert.Equal(3, hop.Connections);
    }

    [Fact]
    public async Task TLS_may_begin_with_the_first_octet()
    {
        await using var hop = new FakeNextHop { ImplicitTls = true };
        using var harness = Harness(Of($"smtps://{hop.EndPoint}") with { Tls = TlsMode.Encrypt });

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
        Assert.True((await hop.NextAsync()).Tls);
        Assert.DoesNotContain("STARTTLS", hop.Commands);
    }

    [Theory]
    [InlineData(TlsMode.May, TlsMode.Verify)]
    [InlineData(TlsMode.Verify, TlsMode.Verify)]
    [InlineData(TlsMode.Dane, TlsMode.Dane)]
    public async Task A_login_asks_for_a_verified_host_and_lowers_nothing(TlsMode configured, TlsMode expected)
    {
        Route route = Of("smtp://192.0.2.25") with { Login = Login };
        using var harness = new DeliveryHarness("mx", change: o => o.Delivery.Tls.Policy = configured, routes: () => new RouteTable([], [route]));

        Assert.Equal(expected, Assert.Single((await PlanAsync()).Addresses).Tls.Mode);
        route = route with { Login = null };
        Assert.Equal(configured, (await PlanAsync()).Addresses[0].Tls.Mode);

        async Task<NextHopPlan> PlanAsync() => await harness.Resolver.ResolveAsync("acme", new Core.Mail.ForwardPath(Core.Mail.MailboxAddress.Parse("b@dest.test")), default);
    }

    [Fact]
    public async Task REQUIRETLS_verifies_a_smarthost_that_is_an_IPv6_address()
    {
        using var folder = new TempFolder();
        using var authority = new TestAuthority();
        await using var hop = new FakeNextHop(System.Net.IPAddress.IPv6Loopback) { Extensions = ["STARTTLS", "REQUIRETLS"], Certificate = authority.Serve(authority.Issue(["::1"])) };
        using var harness = new DeliveryHarness($"smtp://{hop.EndPoint}", change: o => o.Delivery.Tls.AuthoritiesPath = authority.WriteRoot(folder.Path));
        DeliveryJob job = DeliveryHarness.Job(DeliveryHarness.Job().Message with { RequiresTls = true, Egress = DeliveryHarness.EgressFrom(null, "::1") });

        AttemptResult result = await harness.AttemptAsync(job);

        Assert.Equal((OutcomeKind.Delivered, "verify ok"), (result.Outcomes[0]!.Kind, result.TlsOutcome!.ToString()));
    }

    [Fact]
    public async Task Recipients_whose_ways_have_parted_since_go_each_its_own_way()
    {
        await using var usual = new FakeNextHop();
        await using var partner = new FakeNextHop();
        var table = new RouteTable(Of(usual.Url).Smarthosts, [Of(partner.Url) with { Key = new RouteKey("", "partner.test") }]);
        using var harness = new DeliveryHarness("mx", routes: () => table);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "a@dest.test", "b@partner.test", "c@other.test");

        Assert.All(result.Outcomes, static o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal(["RCPT TO:<a@dest.test>", "RCPT TO:<c@other.test>"], (await usual.NextAsync()).Rcpts);
        Assert.Equal(["RCPT TO:<b@partner.test>"], (await partner.NextAsync()).Rcpts);
    }

    private static DeliveryHarness Harness(Route route) => new("mx", routes: () => new RouteTable([], [route]));

    private static Route Of(string nextHop)
    {
        Assert.True(NextHopText.TryParse(nextHop, out var smarthosts));
        return new Route(RouteKey.Server, smarthosts.Value);
    }

    /// <summary>A port of loopback on which nobody listens.</summary>
    private sealed class DeadPort : IDisposable
    {
        private readonly System.Net.Sockets.Socket _socket = new(System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);

        public DeadPort() => _socket.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));

        public int Port => ((System.Net.IPEndPoint)_socket.LocalEndPoint!).Port;

        public void Dispose() => _socket.Dispose();
    }
}
