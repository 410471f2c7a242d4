using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Telemetry;

namespace RelayGate.Tests.Telemetry;

public class MailEventTests
{
    [Fact]
    public void A_line_holds_what_is_known_and_cannot_be_broken_by_a_peer()
    {
        QueueId id = QueueId.Create(DateTimeOffset.UnixEpoch, 1, 2);
        var line = new StringBuilder();

        new MailEvent(MailEventKind.Deferred, id)
        {
            Subscription = "acme",
            Identity = "login info@shop.test",
            ReversePath = ReversePath.Null,
            Recipient = new ForwardPath(MailboxAddress.Parse("ann@example.net")),
            Duration = TimeSpan.FromMilliseconds(1234),
            Reply = "451 4.7.1 \"later\"\r\nrefused ref=forged",
        }.Format(line);

        Assert.Equal(
            $"deferred ref={id} subscription=acme identity=\"login info@shop.test\" from=<> to=<ann@example.net> seconds=1.234 reply=\"451 4.7.1 \\\"later\\\"  refused ref=forged\"",
            line.ToString());
    }
}
