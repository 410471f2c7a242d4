using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Sendmail;

/// <summary>The sendmail command: reads a message and hands it to the gateway over its unix socket, where the kernel names the caller's uid.</summary>
internal static class Program
{
    private const string DefaultSocket = "/run/relaygate/submit.sock";

    private static int Main(string[] arguments)
    {
        try
        {
            Invocation invocation = ReadCommandLine(arguments);
            return invocation.Mode switch
            {
                Mode.Deliver => Deliver(invocation),
                Mode.Smtp => PassThrough.Run(SocketPath(), Console.OpenStandardInput(), Console.OpenStandardOutput()),
                Mode.Verify => Verify(invocation),
                Mode.RunQueue => RunQueue(invocation.QueueSelection),
                Mode.NewAliases => Say(ExitCode.Ok, "there are no aliases to rebuild"),
                Mode.ListQueue => QueueTool.Run("list"),
                _ => Say(ExitCode.Usage, "this is no daemon; start the gateway with: relaygate serve"),
            };
        }
        catch (SendmailException e)
        {
            return Say(e.ExitCode, e.Message);
        }
        catch (IOException e)
        {
            return Say(ExitCode.IOError, $"cannot read the message: {e.Message}");
        }
        catch (OutOfMemoryException)
        {
            return Say(ExitCode.TemporaryFailure, "not enough memory for the message");
        }
        catch (Exception e)
        {
            return Say(ExitCode.Software, $"an error inside this program ({e.GetType().Name}); the message may not have been sent to all");
        }
    }

    /// <summary>-q tries everything now, -qI one message; the gateway chooses nothing else by recipient or sender.</summary>
    private static int RunQueue(string selection) => selection switch
    {
        "" => QueueTool.Run("flush"),
        ['I', .. { Length: > 0 } id] => QueueTool.Run("retry", id),
        _ => throw new SendmailException(ExitCode.Usage, $"-q{selection} is not known; -q tries everything now, -qIREF one message"),
    };

    private static int Deliver(Invocation invocation)
    {
        if (invocation.Recipients.Count == 0 && !invocation.RecipientsFromHeader)
        {
            Drain();
            throw new SendmailException(ExitCode.Usage, "no recipient given; name one, or use -t to take them from the header section");
        }
        using Stream stream = Console.OpenStandardInput();
        using InputMessage input = InputMessage.Read(stream, invocation.IgnoresDots);
        if (input.HasNul)
            throw new SendmailException(ExitCode.DataError, "the message holds a NUL octet; encode binary content as base64");
        if (input.IsTooLarge)
            throw new SendmailException(ExitCode.DataError, "the message is larger than 64 MiB");

        string login = LoginName();
        string reversePath = ReversePathOf(invocation.ReversePath, login);
        string? fullName = invocation.FullName ?? Environment.GetEnvironmentVariable("NAME");
        OutgoingMessage message = OutgoingMessage.Prepare(
            input, invocation.RecipientsFromHeader, string.IsNullOrWhiteSpace(fullName) ? null : fullName, reversePath.Length == 0 ? login : reversePath);
        List<string> recipients = Recipients(invocation, message.Recipients);
        if (recipients.Count == 0)
            throw new SendmailException(ExitCode.DataError, "the header section names no recipient (To, Cc or Bcc)");
        new Submission(() => GatewayConnection.Open(SocketPath(), invocation.IsVerbose), invocation).Send(message, reversePath, recipients);
        return ExitCode.Ok;
    }

    private static int Verify(Invocation invocation)
    {
        List<string> recipients = Recipients(invocation, []);
        if (recipients.Count == 0)
            throw new SendmailException(ExitCode.Usage, "no recipient given");
        var submission = new Submission(() => GatewayConnection.Open(SocketPath(), invocation.IsVerbose), invocation);
        return submission.Verify(ReversePathOf(invocation.ReversePath, LoginName()), recipients, Console.Out);
    }

    private static Invocation ReadCommandLine(string[] arguments)
    {
        try
        {
            return Invocation.Read(CalledAs(), arguments);
        }
        catch (SendmailException)
        {
            Drain();
            throw;
        }
    }

    /// <summary>Reads a message nobody will see, so that its writer gets our exit code and not SIGPIPE. Not from a terminal: that would wait for a person.</summary>
    private static void Drain()
    {
        if (!Console.IsInputRedirected)
            return;
        using Stream stream = Console.OpenStandardInput();
        stream.CopyTo(Stream.Null);
    }

    private static List<string> Recipients(Invocation invocation, List<string> fromHeader)
    {
        var recipients = new List<string>();
        foreach (string argument in invocation.Recipients)
            recipients.AddRange(AddressList.Read(Encoding.UTF8.GetBytes(argument)));
        recipients.AddRange(fromHeader);
        return [.. recipients.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>
    /// The address of -f; "" for the null reverse-path. The unqualified login name says that none was given: the gateway puts the right one.
    /// Programs pass all kinds of things, so what is no address counts as not given.
    /// </summary>
    private static string ReversePathOf(string? given, string login)
    {
        if (given is null)
            return login;
        string trimmed = given.Trim();
        if (trimmed is "" or "<>")
            return "";
        IReadOnlyList<string> addresses = AddressList.Read(Encoding.UTF8.GetBytes(trimmed));
        return addresses.Count == 1 && MailboxAddress.TryParse(addresses[0], out _, allowUnqualified: true) ? addresses[0] : login;
    }

    private static string LoginName() =>
        MailboxAddress.TryParse(Environment.UserName, out MailboxAddress? address, allowUnqualified: true) && address.IsUnqualified ? address.Text : "nobody";

    private static string SocketPath() =>
        Environment.GetEnvironmentVariable("RELAYGATE_SUBMIT") is { Length: > 0 } path ? path : DefaultSocket;

    /// <summary>The name of the link that was called; the runtime itself only tells where the program is.</summary>
    private static string CalledAs()
    {
        try
        {
            byte[] commandLine = File.ReadAllBytes("/proc/self/cmdline");
            int end = Array.IndexOf(commandLine, (byte)0);
            return Path.GetFileName(Encoding.UTF8.GetString(commandLine, 0, end < 0 ? commandLine.Length : end));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "sendmail";
        }
    }

    private static int Say(int exitCode, string message)
    {
        ErrorOutput.WriteLine($"relaygate-sendmail: {message}");
        return exitCode;
    }
}
