using System.Net;
using System.Text;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Dkim;

/// <summary>dkimpy and OpenDKIM verify messages that were prepared and signed, with every oddity that header sections and bodies have in the wild.</summary>
public sealed class DkimJudgesTests : IDisposable
{
    private const string From = "From: Ann <ann@shop.test>\r\n";
    private const string Usual = From + "To: b@example.net\r\nSubject: x\r\nDate: Sat, 21 Nov 2026 09:05:07 +0000\r\nMessage-ID: <1@shop.test>\r\n";

    private static readonly (string Name, string Header, string Body)[] Messages =
    [
        ("plain", Usual, "Hello\r\n"),
        ("bare", From, "Hello\r\n"),
        ("folded", "Subject:  a\r\n\tb \r\n  c   \r\nTo:\r\n b@example.net,\r\n\tc@example.net\r\n" + From, "Hello\r\n"),
        ("folded-blank-line", "Subject: a\r\n \t \r\n b\r\n" + From, "Hello\r\n"),
        ("duplicates", "To: a@x.test\r\nSubject: one\r\n" + From + "To: b@x.test\r\nSubject: two\r\nto: c@x.test\r\nSUBJECT:\r\n", "Hello\r\n"),
        ("eight-bit-header", "Subject: Gr\xc3\xbc\xc3\x9f" + "e \xff\xfe\r\nFrom: J\xfcrgen <ann@shop.test>\r\n", "Hello\r\n"),
        ("eight-bit-body", Usual, "Gr\xfc\xdf" + "e \xc3\xbc\r\n"),
        ("very-long-field", From + "References:" + string.Concat(Enumerable.Range(0, 300).Select(static i => $"\r\n <{i}@a-long-enough-name.shop.test>")) + "\r\n", "x\r\n"),
        ("very-long-line", From + "Subject: " + new string('x', 900) + "\r\n", new string('y', 998) + "\r\n"),
        ("empty-field", From + "Subject:\r\nTo: \r\nCc:\t\r\n", "Hello\r\n"),
        ("blank-before-colon", From + "Subject : x\r\nTo\t:b@example.net\r\n", "Hello\r\n"),
        ("no-blank-after-colon", "From:ann@shop.test\r\nSubject:x\r\n", "Hello\r\n"),
        ("other-signature", "DKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=a; h=from; bh=AAAA; b=AAAA\r\n" + Usual, "Hello\r\n"),
        ("mbox-separator", "From ann Sat Nov 21 09:05:07 2026\r\n" + Usual, "Hello\r\n"),
        ("bcc", "Bcc: secret@x.test\r\n" + Usual + "Resent-Bcc: secret@x.test\r\n", "Hello\r\n"),
        ("no-fields", "", "Hello\r\n"),
        ("list", Usual + "List-Unsubscribe: <https://shop.test/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: a <b.shop.test>\r\n", "Hello\r\n"),
        ("mime", Usual + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\nContent-Transfer-Encoding: 8bit\r\n", "--b\r\n\r\nx\r\n--b--\r\n"),
        ("empty-body", Usual, ""),
        ("only-empty-lines", Usual, "\r\n\r\n\r\n"),
        ("only-blanks", Usual, " \t \r\n \r\n"),
        ("no-final-newline", Usual, "Hello"),
        ("blank-then-no-final-newline", Usual, "Hello \t"),
        ("trailing-empty-lines", Usual, "Hello\r\n\r\n\r\n\r\n"),
        ("trailing-blank-lines", Usual, "Hello\r\n \r\n\t\r\n"),
        ("leading-empty-lines", Usual, "\r\n\r\nHello\r\n"),
        ("blanks-and-tabs", Usual, "a \t b\t\r\n\tc  d \r\n  e\r\n"),
        ("dots", Usual, ".\r\n..\r\n.a\r\n"),
        ("large-body", Usual, string.Concat(Enumerable.Range(0, 5000).Select(static i => $"line {i}  of many \t\r\n"))),
    ];

    private readonly TestFolder _folder = new();
    private readonly DkimKey _key = DkimKey.Generate(Domain.Parse("shop.test"), "rg1");

    public DkimJudgesTests()
    {
        foreach ((string name, string header, string body) in Messages)
            File.WriteAllBytes(_folder[name + ".eml"], Prepare(header, Encoding.Latin1.GetBytes(body)));
        byte[] forged = File.ReadAllBytes(_folder["plain.eml"]);
        forged[^4] ^= 1;
        File.WriteAllBytes(_folder["forged.eml"], forged);
        File.WriteAllText(_folder["keys"], $"{_key.DnsName} {_key.DnsText}\n");
    }

    [InteropFact(Programs.DkimPy)]
    public async Task Dkimpy_verifies_every_message_but_the_forged_one() =>
        AssertVerdicts(await DkimJudges.DkimPyAsync(_folder), good: "True");

    [InteropFact("opendkim")]
    public async Task OpenDKIM_verifies_every_message_but_the_forged_one() =>
        AssertVerdicts(await DkimJudges.OpenDkimAsync(_folder), good: "succeeded");

    public void Dispose() => _folder.Dispose();

    private static void AssertVerdicts(IReadOnlyDictionary<string, string> all, string good)
    {
        Assert.NotEqual(good, all["forged"]);
        Dictionary<string, string> verdicts = all.Where(static v => v.Key != "forged").ToDictionary();
        Assert.Equal(Messages.Select(static m => m.Name).Order(), verdicts.Keys.Order());
        Assert.Empty(verdicts.Where(v => v.Value != good).Select(static v => $"{v.Key}: {v.Value}"));
    }

    /// <summary>The message as it goes over the wire: prepared, signed, and ending with CRLF.</summary>
    private byte[] Prepare(string header, byte[] body)
    {
        var decision = new Decision
        {
            Verdict = Verdict.Accept,
            Reason = Reasons.Accepted,
            Reply = SmtpReply.Parse("250 2.0.0 OK"),
            ReversePath = new ReversePath(MailboxAddress.Parse("ann@shop.test")),
            SigningKeys = [_key],
        };
        DateTimeOffset at = TimeProvider.System.GetUtcNow();
        var trace = new TraceField("client", IPAddress.Loopback, null, "relay.example.net", "ESMTPA", null, QueueId.Create(at, 0, 1), null, at);
        PreparedHeader prepared = MessagePreparer.Prepare(
            HeaderSection.Parse(Encoding.Latin1.GetBytes(header)), decision, trace, () => RelaxedBodyHash.Of(body));
        Assert.StartsWith("+DKIM-Signature", prepared.Changes[^1], StringComparison.Ordinal);
        return [.. prepared.Octets, .. body, .. body.Length == 0 || body[^1] == '\n' ? ""u8 : "\r\n"u8];
    }
}
