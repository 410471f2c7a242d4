using System.IO.Pipelines;
using System.Text;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Submission;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

public class MailDataReaderTests
{
    private const int Most = 200_000; // Less than a chunk: no store is needed.

    /// <summary>Each row: what is on the wire, and the message a normalising session reads from it.</summary>
    public static TheoryData<string, string> GoodData => new()
    {
        { ".\r\n", "" },
        { "a\r\n.\r\n", "a\r\n" },
        { "A: b\r\n\r\nbody\r\n.\r\n", "A: b\r\n\r\nbody\r\n" },
        { "..\r\n.\r\n", ".\r\n" },
        { "...a\r\n.\r\n", "..a\r\n" },
        { ".a\r\n.\r\n", "a\r\n" },
        { "\r\n\r\n \r\n.\r\n", "\r\n\r\n \r\n" },
        { "a.\r\n.b\r\n.\r\n", "a.\r\nb\r\n" },
        { "a\u0085.\r\n\u2028.\r\n.\r\n", "a\u0085.\r\n\u2028.\r\n" }, // Unicode line ends are octets like others.
        { "a\v.\f\r\n.\r\n", "a\v.\f\r\n" },
    };

    /// <summary>Each row: bare line ends beside dots, and what normalising makes of them. None of them ends the message.</summary>
    public static TheoryData<string, string> BareLineEnds => new()
    {
        { "a\n.\n.\r\n", "a\r\n.\r\n.\r\n" },
        { "a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n" },
        { "a\r.\rb\r\n", "a\r\n.\r\nb\r\n" },
        { "a\r\n.\nb\r\n", "a\r\n\r\nb\r\n" },
        { "a\r\n.\rb\r\n", "a\r\n\r\nb\r\n" },
        { "a\n.\rb\r\n", "a\r\n.\r\nb\r\n" },
        { "a\r.\nb\r\n", "a\r\n.\r\nb\r\n" },
        { "a\r.\r\nb\r\n", "a\r\n.\r\nb\r\n" },
        { "a\r\n.\r\rb\r\n", "a\r\n\r\n\r\nb\r\n" },
        { "a\r\r\nb\r\n", "a\r\nb\r\n" },
        { "A: b\r\r\nC: d\r\r\n\r\r\nb\r\n", "A: b\r\nC: d\r\n\r\nb\r\n" },
        { "a\r\n.\r\r\nb\r\n", "a\r\n\r\nb\r\n" },
        { "a\r\rb\r\n", "a\r\n\r\nb\r\n" },
        { "a\n\nb\r\n", "a\r\n\r\nb\r\n" },
        { "\n..\r\n", "\r\n..\r\n" },
    };

    [Theory]
    [MemberData(nameof(GoodData))]
    public async Task Only_CRLF_dot_CRLF_ends_and_dots_are_unstuffed(string wire, string message)
    {
        foreach (int step in (int[])[int.MaxValue, 1, 2, 3])
        {
            foreach (bool normalise in (bool[])[true, false])
                Assert.Equal((ContentFault.None, message, "REST"), await ReadAsync(wire + "REST", step, normalise));
        }
    }

    [Theory]
    [MemberData(nameof(BareLineEnds))]
    public async Task A_bare_line_end_never_ends_the_data_and_is_refused_or_made_CRLF(string wire, string message)
    {
        foreach (int step in (int[])[int.MaxValue, 1, 2, 3])
        {
            // When a lone dot begins the row's last line it would end there: the real end comes after it either way.
            string whole = wire + "x\r\n.\r\nREST";
            Assert.Equal((ContentFault.None, message + "x\r\n", "REST"), await ReadAsync(whole, step, normalise: true));
            (ContentFault fault, _, string rest) = await ReadAsync(whole, step, normalise: false);
            Assert.Equal((ContentFault.BareLineEnd, "REST"), (fault, rest));
        }
    }

    [Fact]
    public async Task A_NUL_fails_the_message_which_is_read_to_its_end()
    {
        (ContentFault fault, _, string rest) = await ReadAsync("a\0b\r\n.\r\nREST", 1, normalise: true);
        Assert.Equal((ContentFault.NulOctet, "REST"), (fault, rest));
    }

    [Theory]
    [InlineData(63, false)]
    [InlineData(64, true)]
    public async Task Very_many_CRs_in_a_row_are_no_text(int octets, bool isRefused)
    {
        (ContentFault fault, _, string rest) = await ReadAsync($"a{new string('\r', octets)}b\r\n.\r\nREST", 5, normalise: true);
        Assert.Equal((isRefused ? ContentFault.BareLineEnd : ContentFault.None, "REST"), (fault, rest));
    }

    [Fact]
    public async Task A_message_over_the_limit_is_read_to_its_end()
    {
        (ContentFault fault, _, string rest) = await ReadAsync($"\r\n{new string('a', Most)}\r\n.\r\nREST", 4096, normalise: true);
        Assert.Equal((ContentFault.TooLarge, "REST"), (fault, rest));
    }

    [Fact]
    public async Task A_header_section_over_256_KiB_fails()
    {
        (ContentFault fault, _, string rest) = await ReadAsync($"A: {new string('a', 300_000)}\r\n\r\n.\r\nREST", 4096, normalise: true, most: 1_000_000);
        Assert.Equal((ContentFault.HeaderTooLarge, "REST"), (fault, rest));
    }

    [Fact]
    public async Task Data_without_end_is_cut()
    {
        (DataResult result, MailContent content, _) = await ReadRawAsync(new byte[3 * Most + 2 * 1024 * 1024], 65_536, true);
        using (content)
            Assert.Equal(DataResult.NeverEnds, result);
    }

    [Fact]
    public async Task Facts_of_the_body_leave_the_header_section_out()
    {
        (_, MailContent content, _) = await ReadRawAsync(Encoding.UTF8.GetBytes($"Subject: ü{new string('x', 2000)}\r\n\r\n12345\r\n123\r\n.\r\n"), 7, true);
        using (content)
        {
            Assert.Equal((false, 5), (content.BodyFacts.Is8Bit, content.BodyFacts.LongestLine));
            Assert.EndsWith("x\r\n\r\n", Encoding.UTF8.GetString(content.Header.Span), StringComparison.Ordinal);
        }
        (_, content, _) = await ReadRawAsync(Encoding.UTF8.GetBytes("A: b\r\n\r\nü12345\r\n.\r\n"), 7, true);
        using (content)
            Assert.Equal((true, 7), (content.BodyFacts.Is8Bit, content.BodyFacts.LongestLine));
    }

    [Fact]
    public void What_is_dot_stuffed_comes_out_as_it_was()
    {
        Gen<string> line = Gen.Elements("", ".", "..", "a", "..a", "a.", " ", "xyz", "\t.");
        Prop.ForAll(line.ListOf().ToArbitrary(), Gen.Choose(1, 9).ToArbitrary(), (lines, step) =>
        {
            string message = string.Concat(lines.Select(text => text + "\r\n"));
            string wire = string.Concat(lines.Select(text => (text.StartsWith('.') ? "." : "") + text + "\r\n")) + ".\r\n";
            return ReadAsync(wire, step, normalise: false).GetAwaiter().GetResult() == (ContentFault.None, message, "");
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Any_octets_come_through_chunks_as_they_are_but_for_line_ends()
    {
        Gen<byte[]> octets = Gen.Elements((byte)'\r', (byte)'\n', (byte)'.', (byte)'a', (byte)0xC3).ArrayOf();
        Prop.ForAll(octets.ToArbitrary(), Gen.Choose(1, 9).ToArbitrary(), (message, size) =>
        {
            string text = Encoding.Latin1.GetString(message);
            string expected = Regex.Replace(text, "\r+\n", "\n", RegexOptions.None, TimeSpan.FromSeconds(10)).Replace('\r', '\n').Replace("\n", "\r\n");
            return ReadChunksAsync(message, size).GetAwaiter().GetResult() == expected;
        }).QuickCheckThrowOnFailure();
    }

    private static async Task<(ContentFault Fault, string Message, string After)> ReadAsync(string wire, int step, bool normalise, int most = Most)
    {
        (DataResult result, MailContent content, string rest) = await ReadRawAsync(Encoding.UTF8.GetBytes(wire), step, normalise, most);
        using (content)
        {
            Assert.Equal(DataResult.Complete, result);
            return (content.Fault, content.Fault == ContentFault.None ? await TextOf(content, Encoding.UTF8) : "", rest);
        }
    }

    private static async Task<string> TextOf(MailContent content, Encoding encoding)
    {
        string header = encoding.GetString(content.Header.Span);
        RelayGate.Queue.MessageBody body = await content.TakeBodyAsync(null!);
        string text = header + encoding.GetString(body.Memory.Span);
        body.Release();
        return text;
    }

    private static async Task<(DataResult, MailContent, string After)> ReadRawAsync(byte[] wire, int step, bool normalise, int most = Most)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        var answers = new Pipe();
        using var channel = new SmtpChannel(pipe.Reader, answers.Writer, new ManualTimeProvider());
        MailContent content = NewContent(most);
        ValueTask<DataResult> reading = new MailDataReader(channel, content, normalise, TimeSpan.FromMinutes(5), most).ReadDataAsync();
        for (int i = 0; i < wire.Length; i += Math.Min(step, wire.Length - i))
            await pipe.Writer.WriteAsync(wire.AsMemory(i, Math.Min(step, wire.Length - i)));
        await pipe.Writer.CompleteAsync();
        DataResult result = await reading;
        string rest = "";
        while (await pipe.Reader.ReadAsync() is { Buffer.IsEmpty: false } read)
        {
            rest += Encoding.UTF8.GetString(read.Buffer);
            pipe.Reader.AdvanceTo(read.Buffer.End);
        }
        return (result, content, rest);
    }

    private static async Task<string> ReadChunksAsync(byte[] message, int size)
    {
        var pipe = new Pipe();
        using var channel = new SmtpChannel(pipe.Reader, new Pipe().Writer, new ManualTimeProvider());
        using MailContent content = NewContent();
        var reader = new MailDataReader(channel, content, normalise: true, TimeSpan.FromMinutes(5), Most);
        for (int i = 0; i < message.Length; i += size)
        {
            await pipe.Writer.WriteAsync(message.AsMemory(i, Math.Min(size, message.Length - i)));
            Assert.Equal(DataResult.Complete, await reader.ReadChunkAsync(Math.Min(size, message.Length - i), isLast: false));
        }
        Assert.Equal(DataResult.Complete, await reader.ReadChunkAsync(0, isLast: true));
        return await TextOf(content, Encoding.Latin1);
    }

    /// <summary>None of these tests writes chunks to the store, so there is no writer.</summary>
    private static MailContent NewContent(int most = Most) => new(default, null!, new MemoryBudget(100_000_000, 0), null, most);
}
