using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Tests.Messages;

public sealed class FromFieldTests
{
    [Theory]
    [InlineData("a@mine.test", "a@mine.test")]
    [InlineData("<a@mine.test>", "a@mine.test")]
    [InlineData("Ann Other <a@mine.test>", "a@mine.test")]
    [InlineData("\"Other, Ann\" <a@mine.test>", "a@mine.test")]
    [InlineData("Other, Ann <a@mine.test>", "a@mine.test")]
    [InlineData("\"info@other.test\" <a@mine.test>", "a@mine.test")] // An address as display name is usual.
    [InlineData("[Shop] Ann <a@mine.test>", "a@mine.test")]
    [InlineData("O\\'Reilly :) <a@mine.test>", "a@mine.test")]
    [InlineData("=?utf-8?Q?J=C3=BCrgen?= <a@mine.test>", "a@mine.test")]
    [InlineData("Jürgen <a@mine.test>", "a@mine.test")]
    [InlineData("a@mine.test (Ann)", "a@mine.test")]
    [InlineData("Ann\r\n <a@mine.test>", "a@mine.test")]
    [InlineData("a@mine.test, b@mine.test", "a@mine.test b@mine.test")]
    [InlineData("Team: a@mine.test, Bob <b@mine.test>;", "a@mine.test b@mine.test")]
    [InlineData("a @ mine.test", "a@mine.test")]
    [InlineData("a@MINE.test.", "a@mine.test")]
    [InlineData("\"a(b\"@mine.test", "a(b@mine.test")]
    [InlineData("a@[192.0.2.1]", "a@[192.0.2.1]")]
    [InlineData("ü@mine.test", "ü@mine.test")]
    [InlineData("a@bücher.test", "a@xn--bcher-kva.test")]
    [InlineData("john..doe.@mine.test", "john..doe.@mine.test")]
    public void Plain_fields_give_their_addresses(string value, string addresses)
    {
        FromField from = Read(value);

        Assert.Equal(addresses.Split(' '), from.Addresses.Select(static a => a.Canonical));
        Assert.False(from.IsUnreadable);
        Assert.False(from.IsUnqualified);
    }

    [Theory]
    [InlineData("a@mine.test <x@other.test>", "x@other.test a@mine.test")]
    [InlineData("x@other.test <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("<a@mine.test> <x@other.test>", "a@mine.test x@other.test")]
    [InlineData("<a@mine.test>x@other.test", "a@mine.test x@other.test")]
    [InlineData("a@mine.test (x@other.test)", "a@mine.test x@other.test")]
    [InlineData("(a (x@other.test) b) a@mine.test", "a@mine.test x@other.test")]
    [InlineData("a@mine.test (<x@other.test>", "a@mine.test x@other.test", true)]
    [InlineData("\"<x@other.test>\" <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("\"\\<x@other.test>\" <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("=?utf-8?Q?=3Cx=40other.test=3E?= <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("=?utf-8?B?PHhAb3RoZXIudGVzdD4=?= <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("=?utf-8?Q?=3Cx=40oth?= =?utf-8?Q?er.test=3E?= <a@mine.test>", "a@mine.test x@other.test")]
    [InlineData("a@mine.test,\r\n\tx@other.test", "a@mine.test x@other.test")]
    [InlineData("a@mine.test;x@other.test", "a@mine.test x@other.test")]
    [InlineData("g:<a@mine.test>,x@other.test;", "a@mine.test x@other.test")]
    [InlineData("\"a@mine.test <x@other.test>", "x@other.test a@mine.test", true)]
    public void Every_address_that_some_reader_could_take_is_found(string value, string addresses, bool isUnreadable = false)
    {
        FromField from = Read(value);

        Assert.Equal(addresses.Split(' '), from.Addresses.Select(static a => a.Canonical));
        Assert.Equal(isUnreadable, from.IsUnreadable);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("My Shop")]
    [InlineData("<>")]
    [InlineData("@other.test")]
    [InlineData("a@")]
    [InlineData("a@mine.test@other.test")]
    [InlineData("<@other.test:a@mine.test>")]
    [InlineData("<@other.test,@mine.test:a@mine.test>")]
    [InlineData("a@mine.test .other.test")]
    [InlineData("a@mine.test(c).other.test")]
    [InlineData("a@=?utf-8?Q?other.test?=")]
    [InlineData("=?utf-8?Q?x=40other.test?=@mine.test")]
    [InlineData("a\\@mine.test@other.test")]
    [InlineData("a@mi_ne..test")]
    [InlineData("a@mine.test\x01")]
    public void What_cannot_be_read_for_certain_is_unreadable(string value) => Assert.True(Read(value).IsUnreadable);

    [Theory]
    [InlineData(" root (Cron Daemon)\r\n", " root")]
    [InlineData(" \"(Cron Daemon)\" <root>\r\n", " \"(Cron Daemon)\" <root")]
    [InlineData(" www-data\r\n", " www-data")]
    public void A_local_part_alone_is_unqualified(string value, string upToDomain)
    {
        FromField from = Read(value);

        Assert.True(from.IsUnqualified);
        Assert.False(from.IsUnreadable);
        Assert.Equal(upToDomain, value[..from.UnqualifiedEnd]);
    }

    [Fact]
    public void Octets_that_are_no_utf8_never_hide_a_domain()
    {
        FromField from = FromField.Read(Encoding.Latin1.GetBytes("a@mine.test, \xfc@other.test"));

        Assert.True(from.IsUnreadable);
    }

    [Fact]
    public void Random_fields_never_throw_and_an_address_after_them_is_found_or_they_are_unreadable() =>
        Prop.ForAll<List<byte>>(octets =>
        {
            byte[] specials = "\"()<>@,;:.[]\\ \t=?aQ"u8.ToArray();
            byte[] junk = [.. octets.Select(o => o < 200 ? specials[o % specials.Length] : o)];
            FromField from = FromField.Read([.. junk, .. ", <x@other.test>"u8]);
            return from.IsUnreadable || from.Addresses.Any(static a => a.Domain?.Value == "other.test");
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_flood_of_addresses_is_bounded()
    {
        FromField from = Read(string.Join(',', Enumerable.Repeat("a@mine.test", 1000)));

        Assert.True(from.IsUnreadable);
        Assert.Equal(100, from.Addresses.Length);
    }

    /// <summary>Every field that fills the largest header section with one kind of token costs one look at each of them.</summary>
    [Theory]
    [InlineData("<", ",")]
    [InlineData("", ",<")]
    [InlineData("<", ":;")]
    [InlineData("a@", "a.")]
    [InlineData("", "(")]
    [InlineData("", "\"")]
    [InlineData("", "=?")]
    [InlineData("", "=?q?q?(@")]
    public async Task A_field_of_256_KiB_is_unreadable_at_once(string start, string repeated)
    {
        string value = start + string.Concat(Enumerable.Repeat(repeated, 256 * 1024 / repeated.Length));

        Assert.True((await Task.Run(() => Read(value)).WaitAsync(TimeSpan.FromSeconds(10))).IsUnreadable);
    }

    [Theory]
    [InlineData(16 * 1024, false)]
    [InlineData(16 * 1024 + 1, true)]
    public async Task A_field_is_read_up_to_16_KiB(int octets, bool isUnreadable)
    {
        const string End = "> a@mine.test";
        string value = "<" + new string(',', octets - 1 - End.Length) + End;
        FromField from = await Task.Run(() => Read(value)).WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Equal((isUnreadable, isUnreadable ? 0 : 1), (from.IsUnreadable, from.Addresses.Length));
    }

    private static FromField Read(string value) => FromField.Read(Encoding.UTF8.GetBytes(value));
}
