using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Sendmail;

/// <summary>One mail transaction over a connection of its own (RFC 5321 §3.3).</summary>
internal sealed class Transaction(GatewayConnection connection, Invocation invocation) : IDisposable
{
    private const int MaxCommandOctets = 2000; // The gateway reads lines of 2048 octets.
    private const int RecipientsInFlight = 100; // Replies to that many fit into any socket buffer.

    private static readonly EnhancedStatusCode TooManyRecipients = new(4, 5, 3);

    private readonly HashSet<string> _extensions = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Recipients this transaction answers for, accepted or refused for good.</summary>
    public int Recipients { get; private set; }

    /// <summary>Offers sender and recipients.</summary>
    /// <returns>The recipients that need another transaction.</returns>
    /// <exception cref="SendmailException">One was refused for a while, or all for good: nothing is to be sent.</exception>
    public List<string> Begin(OutgoingMessage message, string reversePath, IReadOnlyList<string> recipients)
    {
        Greet();
        if (_extensions.Contains("XCLAIM"))
            Claim(message);
        BeginMail(message, reversePath, recipients);
        List<(string Recipient, SmtpReply Reply)> replies = OfferRecipients(recipients);
        List<string> later = [.. CheckRecipients(replies), .. recipients.Skip(replies.Count)];
        Recipients = recipients.Count - later.Count;
        return later;
    }

    /// <summary>Sends the message to those who were accepted.</summary>
    public void SendData(OutgoingMessage message)
    {
        connection.WriteLine("DATA");
        SmtpReply reply = connection.ReadReply(Timeouts.Command);
        if (reply.Code != 354)
            throw Refused(reply);
        connection.WriteStuffed(message.Header);
        message.WriteBody(connection);
        connection.Write(".\r\n"u8);
        Expect(connection.ReadReply(Timeouts.EndOfData));
        Quit();
    }

    /// <summary>Prints what the gateway says to each recipient, without sending anything.</summary>
    public int Verify(string reversePath, IReadOnlyList<string> recipients, TextWriter output)
    {
        Greet();
        BeginMail(null, reversePath, recipients);
        int exitCode = ExitCode.Ok;
        foreach ((string recipient, SmtpReply reply) in OfferRecipients(recipients))
        {
            output.WriteLine($"{recipient}: {OneLine(reply)}");
            if (!reply.IsPositive && exitCode == ExitCode.Ok)
                exitCode = reply.IsTransient ? ExitCode.TemporaryFailure : RefusalCode(reply, ExitCode.NoUser);
        }
        Quit();
        return exitCode;
    }

    public void Dispose() => connection.Dispose();

    private void Greet()
    {
        Expect(connection.ReadReply(Timeouts.Command));
        string name = Domain.TryParse(Environment.MachineName, out Domain? host) ? host.Value : "localhost";
        connection.WriteLine($"EHLO {name}");
        SmtpReply reply = connection.ReadReply(Timeouts.Command);
        if (reply.IsPermanent)
        {
            connection.WriteLine($"HELO {name}");
            Expect(connection.ReadReply(Timeouts.Command));
            return;
        }
        Expect(reply);
        foreach (string line in reply.Text.Split('\n').Skip(1))
            _extensions.Add(line.Split(' ')[0]);
    }

    /// <summary>Says who called this program. Whether the gateway takes note of it does not matter.</summary>
    private void Claim(OutgoingMessage message)
    {
        SenderClaims claims = Claims.Read(message);
        string command = new XClaimCommand(claims).ToString();
        if (command.Length > MaxCommandOctets)
            command = new XClaimCommand(new SenderClaims(claims.Script, PhpScript: claims.PhpScript)).ToString();
        connection.WriteLine(command);
        _ = connection.ReadReply(Timeouts.Command);
    }

    private void BeginMail(OutgoingMessage? message, string reversePath, IReadOnlyList<string> recipients)
    {
        var command = new StringBuilder($"MAIL FROM:<{reversePath}>");
        if (message is not null && _extensions.Contains("SIZE"))
            command.Append(" SIZE=").Append(message.Octets);
        if (message is { Is8Bit: true } && _extensions.Contains("8BITMIME"))
            command.Append(" BODY=8BITMIME");
        if (_extensions.Contains("SMTPUTF8") && !(Ascii.IsValid(reversePath) && recipients.All(static r => Ascii.IsValid(r))))
            command.Append(" SMTPUTF8");
        if (_extensions.Contains("DSN"))
        {
            if (invocation.Return is { } ret)
                command.Append(" RET=").Append(ret);
            if (invocation.EnvelopeId is { } id)
                command.Append(" ENVID=").Append(id);
        }
        connection.WriteLine(command.ToString());
        Expect(connection.ReadReply(Timeouts.Command));
    }

    /// <returns>The replies to all, or to those up to where there were too many.</returns>
    private List<(string Recipient, SmtpReply Reply)> OfferRecipients(IReadOnlyList<string> recipients)
    {
        string notify = invocation.Notify is { } value && _extensions.Contains("DSN") ? $" NOTIFY={value}" : "";
        int inFlight = _extensions.Contains("PIPELINING") ? RecipientsInFlight : 1;
        var replies = new List<(string, SmtpReply)>(recipients.Count);
        foreach (string[] group in recipients.Chunk(inFlight))
        {
            foreach (string recipient in group)
            {
                if (IsSendable(recipient))
                    connection.WriteLine($"RCPT TO:<{recipient}>{notify}");
            }
            foreach (string recipient in group)
            {
                replies.Add((recipient, IsSendable(recipient)
                    ? connection.ReadReply(Timeouts.Command)
                    : new SmtpReply(501, new EnhancedStatusCode(5, 1, 3), "not a mail address")));
            }
            if (replies.Exists(static r => IsExcess(r.Item2)))
                break;
        }
        return replies;
    }

    private static bool IsExcess(SmtpReply reply) => reply is { Code: 452, Enhanced: { } code } && code == TooManyRecipients;

    /// <summary>What is no address is not offered: it could be more than one command.</summary>
    private static bool IsSendable(string recipient) => MailboxAddress.TryParse(recipient, out _, allowUnqualified: true);

    /// <summary>Decides whether DATA follows. Returns the recipients that need another transaction.</summary>
    private static List<string> CheckRecipients(List<(string Recipient, SmtpReply Reply)> replies)
    {
        bool anyAccepted = replies.Exists(static r => r.Reply.IsPositive);
        var later = new List<string>();
        foreach ((string recipient, SmtpReply reply) in replies)
        {
            if (anyAccepted && IsExcess(reply))
                later.Add(recipient);
            else if (reply.IsTransient)
                throw new SendmailException(ExitCode.TemporaryFailure, $"not sent: {recipient}: {OneLine(reply)}");
        }
        if (!anyAccepted)
        {
            (string recipient, SmtpReply reply) = replies[0];
            bool allPolicy = replies.TrueForAll(static r => r.Reply.Enhanced is { Subject: 7 });
            string others = replies.Count > 1 ? $" (and {replies.Count - 1} more)" : "";
            throw new SendmailException(allPolicy ? ExitCode.NoPermission : ExitCode.NoUser, $"not sent: {recipient}: {OneLine(reply)}{others}");
        }
        foreach ((string recipient, SmtpReply reply) in replies)
        {
            if (reply.IsPermanent)
                ErrorOutput.WriteLine($"relaygate-sendmail: not sent to {recipient}: {OneLine(reply)}");
        }
        return later;
    }

    /// <summary>The message is taken; whether the gateway hears the farewell does not matter.</summary>
    private void Quit()
    {
        try
        {
            connection.WriteLine("QUIT");
            connection.Flush();
        }
        catch (SendmailException)
        {
            // Gone already.
        }
    }

    private static void Expect(SmtpReply reply)
    {
        if (reply.Code is < 200 or > 299)
            throw Refused(reply);
    }

    private static SendmailException Refused(SmtpReply reply) =>
        new(reply.IsPermanent ? RefusalCode(reply, ExitCode.NoPermission) : ExitCode.TemporaryFailure, $"not sent: {OneLine(reply)}");

    /// <summary>5yz for the content of the message or its size is bad data; policy is no permission.</summary>
    private static int RefusalCode(SmtpReply reply, int otherwise) => reply switch
    {
        { Enhanced.Subject: 7 } => ExitCode.NoPermission,
        { Enhanced.Subject: 6 } or { Code: 552 } or { Enhanced: { Subject: 3, Detail: 4 } } => ExitCode.DataError,
        _ => otherwise,
    };

    private static string OneLine(SmtpReply reply) => new([.. reply.ToString().Select(static c => char.IsControl(c) ? ' ' : c).Take(500)]);
}
