using System.Text;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Dsn;

/// <summary>Python's email package reads reports as a program that handles bounces would.</summary>
public sealed class DsnReaderTests
{
    private const string Program = """
        import sys, email, email.policy
        m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
        parts = list(m.iter_parts())
        print(m.get_content_type(), m.get_param('report-type'), len(parts))
        print(*[p.get_content_type() for p in parts])
        groups = parts[1].get_payload()
        print(groups[0]['Reporting-MTA'], groups[0]['Original-Envelope-Id'])
        for g in groups[1:]:
            print(g['Final-Recipient'], g['Action'], g['Status'], g['Diagnostic-Code'], sep='|')
        third = parts[2].get_payload()
        print(third[0]['Subject'] if isinstance(third, list) else email.message_from_bytes(parts[2].get_payload(decode=True), policy=email.policy.default)['Subject'])
        print('bücher' in parts[0].get_content(), [d for p in m.walk() for d in p.defects])
        """;

    [Theory]
    [InlineData("Hello\r\n", "5.1.2", "message/rfc822")]
    [InlineData("Gr\u00fc\u00dfe\r\n", "5.1.2", "message/rfc822")]
    [InlineData("Gr\u00fc\u00dfe\r\n", "5.6.7", "text/rfc822-headers")] // The next hop lacks SMTPUTF8: the report is ASCII.
    [InlineData(null, "5.1.2", "text/rfc822-headers")]
    public async Task A_report_is_read_back(string? originalBody, string status, string thirdType)
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        DsnRecipient[] recipients =
        [
            new(Path("bob@example.org"), null, DsnAction.Failed, "5.1.1", "mx.example.org", "550 5.1.1 " + new string('x', 300) + " unknown", now),
            new(Path("j\u00fcrgen@b\u00fccher.test"), null, DsnAction.Failed, status, null, "Not possible", now),
        ];
        ComposedDsn dsn = DsnComposer.Compose(new DsnRequest(
            QueueId.Create(now, 1, 1), QueueId.Create(now, 2, 2), "relay.example.net", MailboxAddress.Parse("info@shop.test"), "id+201", now, now,
            [.. recipients], "From: info@shop.test\r\nSubject: Hello\r\n\r\n"u8.ToArray(),
            originalBody is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(originalBody)));

        ProgramResult result = await new ProgramRun(Programs.Python, "-c", Program) { Input = [.. dsn.HeaderSection, .. dsn.Body] }.RunAsync();

        Assert.Equal(
            [
                "multipart/report delivery-status 3",
                $"text/plain message/delivery-status {thirdType}",
                "dns; relay.example.net id 1",
                $"rfc822; bob@example.org|failed|5.1.1|smtp; 550 5.1.1 {new string('x', 300)} unknown",
                $@"utf-8; j\x{{FC}}rgen@b\x{{FC}}cher.test|failed|{status}|x-relaygate; Not possible",
                "Hello",
                "True []",
            ],
            result.ShouldSucceed().Output.Trim().Split('\n'));
    }

    private static ForwardPath Path(string address) => new(MailboxAddress.Parse(address));
}
