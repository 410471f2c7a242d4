using System.Collections.Immutable;
using System.Net;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Dns;

namespace RelayGate.Core.Tests.Dns;

public class DnsMessageTests
{
    private static readonly byte[] MxResponse =
    [
        0x12, 0x34, 0x81, 0xa0, 0, 1, 0, 2, 0, 0, 0, 1,
        4, (byte)'D', (byte)'e', (byte)'s', (byte)'t', 4, (byte)'t', (byte)'e', (byte)'s', (byte)'t', 0, 0, 15, 0, 1,
        0xc0, 12, 0, 15, 0, 1, 0, 0, 1, 0x2c, 0, 7, 0, 10, 2, (byte)'m', (byte)'x', 0xc0, 12,
        0xc0, 12, 0, 15, 0, 1, 0, 0, 1, 0x2c, 0, 3, 0, 0, 0,
        0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0,
    ];

    [Fact]
    public void A_response_with_compression_and_OPT_is_read()
    {
        Assert.True(DnsMessage.TryParse(MxResponse, out DnsMessage? message));

        Assert.Equal((0x1234, true, false), (message.Id, message.IsAuthentic, message.IsTruncated));
        Assert.Equal(new DnsQuestion("dest.test", DnsType.Mx), message.Question);
        Assert.Equal([new MxRecord("dest.test", 300, 10, "mx.dest.test"), new MxRecord("dest.test", 300, 0, "")], message.Answers.AsEnumerable());
    }

    [Fact]
    public void A_query_asks_one_question_with_OPT()
    {
        var wire = new byte[DnsMessage.MaxQueryOctets];

        int octets = DnsMessage.WriteQuery(wire, 0xabcd, new DnsQuestion("dest.test", DnsType.Aaaa), edns: true);

        Assert.Equal(
            "ABCD012000010000000000010464657374047465737400001C00010000" + "2904D0000000000000",
            Convert.ToHexString(wire.AsSpan(0, octets)));
    }

    [Theory]
    [InlineData("a..test")]
    [InlineData(".test")]
    [InlineData("ä.test")]
    public void A_name_that_is_none_is_not_asked(string name) =>
        Assert.Equal(0, DnsMessage.WriteQuery(new byte[DnsMessage.MaxQueryOctets], 1, new DnsQuestion(name, DnsType.A), true));

    [Fact]
    public void The_longest_name_fits_and_one_octet_more_does_not()
    {
        string longest = string.Join('.', new string('a', 63), new string('b', 63), new string('c', 63), new string('d', 61));
        var wire = new byte[DnsMessage.MaxQueryOctets];

        Assert.NotEqual(0, DnsMessage.WriteQuery(wire, 1, new DnsQuestion(longest, DnsType.A), true));
        Assert.Equal(0, DnsMessage.WriteQuery(wire, 1, new DnsQuestion(longest + "d", DnsType.A), true));
    }

    [Theory]
    [InlineData(27)] // the answer's name
    [InlineData(44)] // the exchange
    public void Pointers_that_do_not_lead_backwards_are_refused(int at)
    {
        byte[] wire = [.. MxResponse];
        for (int target = at; target < wire.Length; target++)
        {
            wire[at] = 0xc0;
            wire[at + 1] = (byte)target;
            Assert.False(DnsMessage.TryParse(wire, out _));
        }
    }

    [Fact]
    public void Long_chains_of_pointers_are_refused()
    {
        var wire = new List<byte>([0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xc0, 12]);
        for (int i = 0; i < 200; i++)
            wire.AddRange([0xc0, (byte)(wire.Count - 2)]);

        Assert.False(DnsMessage.TryParse([.. wire, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4], out _));
    }

    [Fact]
    public void Every_cut_of_a_response_is_refused_and_none_throws()
    {
        for (int length = 0; length < MxResponse.Length - 11; length++)
            Assert.False(DnsMessage.TryParse(MxResponse.AsSpan(0, length), out _));
    }

    [Fact]
    public void Octets_a_host_name_cannot_have_are_escaped()
    {
        byte[] wire = [0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 4, (byte)'a', (byte)'.', 0, 0xff, 0, 0, 1, 0, 1];

        Assert.True(DnsMessage.TryParse(wire, out DnsMessage? message));
        Assert.Equal(@"a\046\000\255", message.Question!.Value.Name);
    }

    [Fact]
    public void Random_octets_never_throw() =>
        Prop.ForAll<byte[]>(octets => DnsMessage.TryParse(octets, out _) || true).QuickCheckThrowOnFailure();

    [Fact]
    public void Random_changes_to_a_response_never_throw_and_never_yield_an_address_of_wrong_size() =>
        Prop.ForAll<PositiveInt, PositiveInt, int>((at, at2, values) =>
        {
            byte[] wire = [.. MxResponse];
            wire[at.Get % wire.Length] = (byte)values;
            wire[at2.Get % wire.Length] = (byte)(values >> 8);
            return !DnsMessage.TryParse(wire, out DnsMessage? message) || message.Answers.All(r => r.Name.Length <= 4 * 255);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(5000));

    [Fact]
    public void An_answer_believes_only_records_on_the_chain_from_the_question()
    {
        var question = new DnsQuestion("www.test", DnsType.A);
        var message = new DnsMessage(1, DnsResponseCode.NoError, false, false, question,
        [
            new NameRecord("www.test", DnsType.Cname, 60, "real.test"),
            new AddressRecord("evil.test", DnsType.A, 300, IPAddress.Parse("192.0.2.66")),
            new AddressRecord("real.test", DnsType.A, 300, IPAddress.Parse("192.0.2.1")),
        ], []);

        DnsAnswer answer = DnsAnswer.Read(question, message);

        Assert.Equal("192.0.2.1", ((AddressRecord)Assert.Single(answer.Records)).Address.ToString());
        Assert.Equal(("real.test", TimeSpan.FromSeconds(60)), (answer.Name, answer.Lifetime));
    }

    [Fact]
    public void Aliases_are_bounded()
    {
        var question = new DnsQuestion("n0", DnsType.A);
        ImmutableArray<DnsRecord> chain = [.. Enumerable.Range(0, 20).Select(i => new NameRecord($"n{i}", DnsType.Cname, 60, $"n{i + 1}"))];

        Assert.Equal(DnsOutcome.Failed, DnsAnswer.Read(question, new DnsMessage(1, DnsResponseCode.NoError, false, false, question, chain, [])).Outcome);
    }

    [Theory]
    [InlineData(false, false, DnsOutcome.NoData)]
    [InlineData(true, true, DnsOutcome.NoData)]
    [InlineData(true, false, DnsOutcome.Failed)] // RFC 2308 §2.2: a referral.
    public void Name_servers_without_SOA_say_nothing_of_what_exists(bool nameServers, bool soa, DnsOutcome expected)
    {
        var question = new DnsQuestion("lame.test", DnsType.Mx);
        ImmutableArray<DnsRecord> authority =
        [
            .. nameServers ? [new NameRecord("lame.test", DnsType.Ns, 300, "ns.lame.test")] : Array.Empty<DnsRecord>(),
            .. soa ? [new SoaRecord("lame.test", 300, 60)] : Array.Empty<DnsRecord>(),
        ];

        Assert.Equal(expected, DnsAnswer.Read(question, new DnsMessage(1, DnsResponseCode.NoError, false, false, question, [], authority)).Outcome);
    }
}
