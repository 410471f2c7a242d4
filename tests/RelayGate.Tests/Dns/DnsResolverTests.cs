using System.Text;
using RelayGate.Core.Dns;
using RelayGate.Dns;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Dns;

public sealed class DnsResolverTests
{
    private static readonly DnsQuestion Question = new("mx.dest.test", DnsType.A);

    [Theory]
    [InlineData(DnsBehaviour.Usual)]
    [InlineData(DnsBehaviour.Truncate)]
    [InlineData(DnsBehaviour.Forgeries)]
    [InlineData(DnsBehaviour.NoEdns)]
    public async Task An_answer_is_found(DnsBehaviour behaviour)
    {
        await using var dns = new FakeDns { Behaviour = behaviour };
        dns.A("mx.dest.test", "192.0.2.1").A("mx.dest.test", "192.0.2.2");

        DnsAnswer answer = await ResolverOf(dns).ResolveAsync(Question, CancellationToken.None);

        Assert.Equal(DnsOutcome.Found, answer.Outcome);
        Assert.Equal(["192.0.2.1", "192.0.2.2"], answer.Records.Select(r => ((AddressRecord)r).Address.ToString()));
        Assert.Equal(behaviour == DnsBehaviour.Truncate, dns.Questions.Any(q => q.Tcp));
        Assert.False(answer.IsAuthentic);
    }

    [Theory]
    [InlineData(DnsBehaviour.ServerFailure)]
    [InlineData(DnsBehaviour.Refuse)]
    public async Task A_server_that_cannot_say_is_a_failure_kept_for_seconds(DnsBehaviour behaviour)
    {
        await using var dns = new FakeDns { Behaviour = behaviour };
        var time = new ManualTimeProvider();
        DnsResolver resolver = ResolverOf(dns, time);

        Assert.Equal(DnsOutcome.Failed, (await resolver.ResolveAsync(Question, CancellationToken.None)).Outcome);
        int asked = dns.Questions.Count;
        await resolver.ResolveAsync(Question, CancellationToken.None);
        Assert.Equal(asked, dns.Questions.Count);
        time.Advance(TimeSpan.FromSeconds(11));
        dns.Behaviour = DnsBehaviour.Usual;
        dns.A("mx.dest.test", "192.0.2.1");
        Assert.Equal(DnsOutcome.Found, (await resolver.ResolveAsync(Question, CancellationToken.None)).Outcome);
    }

    [Theory]
    [InlineData(DnsBehaviour.Silence)]
    [InlineData(DnsBehaviour.Garbage)]
    public async Task Silence_and_garbage_cost_the_time_limit_and_no_more(DnsBehaviour behaviour)
    {
        await using var dns = new FakeDns { Behaviour = behaviour };
        var time = new ManualTimeProvider();

        Task<DnsAnswer> answer = ResolverOf(dns, time).ResolveAsync(Question, CancellationToken.None).AsTask();
        for (int i = 0; i < 1000 && !answer.IsCompleted; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(answer, Task.Delay(10));
        }

        Assert.Equal(DnsOutcome.Failed, (await answer).Outcome);
        Assert.InRange(dns.Questions.Count, 1, 4);
    }

    [Fact]
    public async Task The_next_server_is_asked_when_the_first_fails()
    {
        await using var broken = new FakeDns { Behaviour = DnsBehaviour.ServerFailure };
        await using var good = new FakeDns();
        good.A("mx.dest.test", "192.0.2.1");
        var exchange = new DnsExchange(TimeProvider.System);

        Assert.Equal(DnsResponseCode.ServerFailure, (await exchange.AskAsync(broken.EndPoint, Question, TimeSpan.FromSeconds(5)))!.Code);
        Assert.Equal(DnsResponseCode.NoError, (await exchange.AskAsync(good.EndPoint, Question, TimeSpan.FromSeconds(5)))!.Code);
    }

    [Fact]
    public void Servers_come_from_resolv_conf_in_its_order()
    {
        using var folder = new TempFolder();
        string file = Path.Combine(folder.Path, "resolv.conf");
        File.WriteAllText(file, "# comment\nsearch example\nnameserver 192.0.2.53\nnameserver\t2001:db8::53 \nnameserver nonsense\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n");

        var servers = new DnsServers(null, TimeProvider.System, systemFile: file);

        Assert.Equal(["192.0.2.53:53", "[2001:db8::53]:53", "192.0.2.54:53"], servers.Current.Select(s => s.ToString()));
        Assert.Equal(["127.0.0.1:53"], new DnsServers(null, TimeProvider.System, systemFile: file + ".missing").Current.Select(s => s.ToString()));
        Assert.Equal(["192.0.2.1:5353"], new DnsServers("192.0.2.1:5353", TimeProvider.System).Current.Select(s => s.ToString()));
    }

    [Fact]
    public async Task Answers_live_as_long_as_their_TTL_and_negative_ones_as_long_as_the_SOA_says()
    {
        await using var dns = new FakeDns { Ttl = 300 };
        dns.A("mx.dest.test", "192.0.2.1");
        var time = new ManualTimeProvider();
        DnsResolver resolver = ResolverOf(dns, time);

        await resolver.ResolveAsync(Question, CancellationToken.None);
        time.Advance(TimeSpan.FromSeconds(299));
        await resolver.ResolveAsync(Question, CancellationToken.None);
        Assert.Single(dns.Questions);
        time.Advance(TimeSpan.FromSeconds(2));
        await resolver.ResolveAsync(Question, CancellationToken.None);
        Assert.Equal(2, dns.Questions.Count);

        DnsQuestion missing = Question with { Name = "none.test" };
        Assert.Equal(DnsOutcome.NoName, (await resolver.ResolveAsync(missing, CancellationToken.None)).Outcome);
        time.Advance(TimeSpan.FromSeconds(29));
        await resolver.ResolveAsync(missing, CancellationToken.None);
        Assert.Equal(3, dns.Questions.Count);
        time.Advance(TimeSpan.FromSeconds(2));
        await resolver.ResolveAsync(missing, CancellationToken.None);
        Assert.Equal(4, dns.Questions.Count);
    }

    [Fact]
    public async Task Equal_questions_are_asked_once_at_a_time_and_one_waiter_may_leave()
    {
        var gate = new TaskCompletionSource();
        await using var dns = new FakeDns { Gate = gate.Task };
        dns.A("mx.dest.test", "192.0.2.1");
        DnsResolver resolver = ResolverOf(dns);
        using var leaving = new CancellationTokenSource();

        Task<DnsAnswer> left = resolver.ResolveAsync(Question, leaving.Token).AsTask();
        Task<DnsAnswer>[] waiting = [.. Enumerable.Range(0, 50).Select(_ => resolver.ResolveAsync(Question, CancellationToken.None).AsTask())];
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        gate.SetResult();
        DnsAnswer[] answers = await Task.WhenAll(waiting).WaitAsync(TimeSpan.FromSeconds(10));

        Assert.All(answers, a => Assert.Equal(DnsOutcome.Found, a.Outcome));
        Assert.Single(dns.Questions);
    }

    [Fact]
    public async Task Aliases_are_followed_and_loops_end()
    {
        await using var dns = new FakeDns();
        dns.Cname("www.test", "a.test").Cname("a.test", "b.test").A("b.test", "192.0.2.1").Cname("x.test", "y.test").Cname("y.test", "x.test");
        DnsResolver resolver = ResolverOf(dns);

        DnsAnswer answer = await resolver.ResolveAsync(new DnsQuestion("www.test", DnsType.A), CancellationToken.None);
        DnsAnswer loop = await resolver.ResolveAsync(new DnsQuestion("x.test", DnsType.A), CancellationToken.None);

        Assert.Equal((DnsOutcome.Found, "b.test"), (answer.Outcome, answer.Name));
        Assert.Equal(DnsOutcome.Failed, loop.Outcome);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(null, false)]
    public async Task AD_counts_only_from_a_server_that_is_said_to_be_trusted(bool? trusted, bool isAuthentic)
    {
        await using var dns = new FakeDns { Authentic = true };
        dns.A("mx.dest.test", "192.0.2.1");
        var servers = new DnsServers(dns.EndPoint.ToString(), TimeProvider.System, trusted);

        DnsAnswer answer = await new DnsResolver(servers, TimeProvider.System).ResolveAsync(Question, CancellationToken.None);

        Assert.Equal((isAuthentic, isAuthentic), (answer.IsAuthentic, servers.AreTrusted));
        Assert.Equal(isAuthentic ? 1 : 0, dns.WithDo);
    }

    [Theory]
    [InlineData("nameserver 127.0.0.53\noptions edns0 trust-ad\n", null, true)]
    [InlineData("nameserver 127.0.0.53\noptions edns0\n", null, false)]
    [InlineData("nameserver 127.0.0.53\nnameserver 192.0.2.53\noptions trust-ad\n", null, false)]
    [InlineData("nameserver 127.0.0.53\noptions trust-ad\n", false, false)]
    [InlineData("nameserver 192.0.2.53\n", true, true)]
    [InlineData("nameserver 127.0.0.53\n# options trust-ad\n", null, false)]
    public void Servers_of_resolv_conf_are_trusted_only_where_somebody_says_so(string file, bool? trusted, bool expected)
    {
        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, "resolv.conf");
        File.WriteAllText(path, file);

        Assert.Equal(expected, new DnsServers(null, TimeProvider.System, trusted, path).AreTrusted);
    }

    [Fact]
    public async Task One_insecure_link_makes_a_chain_of_aliases_insecure()
    {
        await using var dns = new FakeDns { Authentic = true, WithSoa = false };
        dns.Cname("a.test", "b.test").Cname("b.test", "c.test").A("c.test", "192.0.2.1");
        DnsResolver resolver = Trusting(dns);

        Assert.True((await resolver.ResolveAsync(new DnsQuestion("a.test", DnsType.A), CancellationToken.None)).IsAuthentic);
        dns.Insecure["b.test"] = true;
        Assert.False((await Trusting(dns).ResolveAsync(new DnsQuestion("a.test", DnsType.A), CancellationToken.None)).IsAuthentic);
        Assert.True((await Trusting(dns).ResolveAsync(new DnsQuestion("a.test", DnsType.Cname), CancellationToken.None)).IsAuthentic);
    }

    [Fact]
    public async Task TLSA_records_are_read_through_an_alias_and_nonsense_in_them_too()
    {
        await using var dns = new FakeDns { Authentic = true };
        dns.Cname("_25._tcp.mx.test", "_dane.test").Tlsa("_dane.test", 3, 1, 1, [1, 2, 3]).Tlsa("_dane.test", 9, 0, 0, []);

        DnsAnswer answer = await Trusting(dns).ResolveAsync(new DnsQuestion("_25._tcp.mx.test", DnsType.Tlsa), CancellationToken.None);

        Assert.Equal(["3 1 1 010203", "9 0 0 "], answer.Records.Select(r => r.ToString()));
        Assert.Equal(("_dane.test", true), (answer.Name, answer.IsAuthentic));
    }

    [Fact]
    public async Task TXT_strings_are_joined_and_a_large_set_comes_over_TCP()
    {
        await using var dns = new FakeDns { Behaviour = DnsBehaviour.Truncate };
        string large = new('x', 255);
        dns.Txt("dest.test", "v=spf1 ", "-all");
        for (int i = 0; i < 10; i++)
            dns.Txt("dest.test", large, large, i.ToString(System.Globalization.CultureInfo.InvariantCulture));

        DnsResolver resolver = ResolverOf(dns);
        DnsAnswer answer = await resolver.ResolveAsync(new DnsQuestion("dest.test", DnsType.Txt), CancellationToken.None);

        Assert.Equal(11, answer.Records.Length);
        Assert.Equal("v=spf1 -all", Encoding.ASCII.GetString(((TxtRecord)answer.Records[0]).Octets.AsSpan()));
        Assert.Equal($"{large}{large}9", Encoding.ASCII.GetString(((TxtRecord)answer.Records[10]).Octets.AsSpan()));
        Assert.Equal([false, true], dns.Questions.Select(q => q.Tcp));
    }

    [Fact]
    public async Task An_answer_that_is_very_large_is_used_and_not_kept()
    {
        await using var dns = new FakeDns { Behaviour = DnsBehaviour.Truncate };
        for (int i = 0; i < 40; i++)
            dns.Txt("dest.test", new string('x', 255));

        DnsResolver resolver = ResolverOf(dns);

        Assert.Equal(40, (await resolver.ResolveAsync(new DnsQuestion("dest.test", DnsType.Txt), CancellationToken.None)).Records.Length);
        Assert.Equal(0, resolver.Kept);
    }

    [Fact]
    public async Task A_server_that_failed_is_asked_after_the_one_that_answered()
    {
        await using var broken = new FakeDns { Behaviour = DnsBehaviour.ServerFailure };
        await using var good = new FakeDns();
        good.A("a.test", "192.0.2.1").A("b.test", "192.0.2.2").A("c.test", "192.0.2.3");
        var resolver = new DnsResolver(new DnsServers($"{broken.EndPoint}, {good.EndPoint}", TimeProvider.System), TimeProvider.System);

        foreach (string name in (string[])["a.test", "b.test", "c.test"])
            Assert.Equal(DnsOutcome.Found, (await resolver.ResolveAsync(new DnsQuestion(name, DnsType.A), CancellationToken.None)).Outcome);

        Assert.Single(broken.Questions);
    }

    [Fact]
    public async Task The_cache_stays_bounded()
    {
        await using var dns = new FakeDns();
        var resolver = new DnsResolver(new DnsServers(dns.EndPoint.ToString(), TimeProvider.System), TimeProvider.System, maxAnswers: 50);

        for (int i = 0; i < 200; i++)
            await resolver.ResolveAsync(new DnsQuestion($"n{i}.test", DnsType.A), CancellationToken.None);

        Assert.InRange(resolver.Kept, 40, 50);
    }

    [Fact]
    public async Task A_name_that_cannot_be_written_is_a_failure()
    {
        await using var dns = new FakeDns();

        DnsAnswer answer = await ResolverOf(dns).ResolveAsync(new DnsQuestion(new string('a', 64) + ".test", DnsType.A), CancellationToken.None);

        Assert.Equal(DnsOutcome.Failed, answer.Outcome);
        Assert.Empty(dns.Questions);
    }

    private static DnsResolver Trusting(FakeDns dns) => new(new DnsServers(dns.EndPoint.ToString(), TimeProvider.System, trusted: true), TimeProvider.System);

    private static DnsResolver ResolverOf(FakeDns dns, TimeProvider? time = null) =>
        new(new DnsServers(dns.EndPoint.ToString(), time ?? TimeProvider.System), time ?? TimeProvider.System);
}
