using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;
using RelayGate.Server.Demo;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate send</c>: an SMTP client that says in a line or two what happened.</summary>
internal static class SendCommand
{
    private const string HeldReply = "250 2.0.0 Held";
    private const int MaxContentOctets = 100 * 1024 * 1024;

    /// <summary>How long it waits to see the message delivered, where it may ask the gateway.</summary>
    private static readonly TimeSpan DeliveryPatience = TimeSpan.FromSeconds(5);

    private static readonly Option<string?> From = new("--from", "-f") { Description = "Reverse-path and From (default: the login).", HelpName = "A" };
    private static readonly Option<string[]> To = new("--to", "-t") { Description = "A recipient; may be repeated.", HelpName = "B" };
    private static readonly Option<string?> Subject = new("--subject") { Description = "Subject of the message.", HelpName = "TEXT" };
    private static readonly Option<string?> Server = new("--server") { Description = "host:port, or the path of a submit socket (default: RELAYGATE_SUBMIT; beside a demo: its listener).", HelpName = "S" };
    private static readonly Option<string?> Login = new("--login") { Description = "Log in as this mailbox.", HelpName = "LOGIN" };
    private static readonly Option<bool> Quiet = new("--quiet", "-q") { Description = "Print only refusals." };
    private static readonly Argument<string?> File = new("FILE") { Description = "A message to send, or - for standard input (default: a short test message).", Arity = ArgumentArity.ZeroOrOne };

    public static Command Create()
    {
        Command command = new Command("send", "Send a message by SMTP and say what happened.").With(From, To, Subject, Server, Login, Secrets.PasswordStdin, Quiet, File);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        string? control = parsed.GetValue(GlobalOptions.Socket);
        SendDefaults? defaults = parsed.GetValue(Server) is null ? SendDefaults.Beside(control) : null;
        string server = parsed.GetValue(Server) ?? defaults?.Server
            ?? (Environment.GetEnvironmentVariable("RELAYGATE_SUBMIT") is { Length: > 0 } submit ? submit : "/run/relaygate/submit.sock");
        (string Login, string Password)? credentials = await CredentialsAsync(parsed, defaults);
        string[] recipients = parsed.GetValue(To) is { Length: > 0 } named ? named : throw new CliException(ExitCode.Usage, "name a recipient: --to B");
        string? from = parsed.GetValue(From) ?? credentials?.Login;
        byte[] content = await ContentAsync(parsed, from, recipients, cancellationToken);

        using SmtpDialog smtp = await SmtpDialog.ConnectAsync(server, cancellationToken);
        var story = new List<string> { $"connected {server}" };
        SmtpAnswer answer = await TalkAsync(smtp, credentials, from ?? "", recipients, content, story, cancellationToken);
        string? reference = RefOf(answer.Text);
        if (!answer.IsPositive)
        {
            if (parsed.GetValue(GlobalOptions.Json))
                Console.WriteLine(new JsonObject { ["outcome"] = "refused", ["reply"] = answer.Text, ["ref"] = reference }.ToJsonString());
            else
                Console.WriteLine(Output.Clean($"refused: {answer.Text}"));
            return ExitCode.Failed;
        }
        (string? delivery, bool isHeld) = parsed.GetValue(Quiet) || reference is null ? default : await DeliveryAsync(control, reference, cancellationToken);
        if (!isHeld && delivery is null && answer.Text.StartsWith(HeldReply, StringComparison.Ordinal)) // Who may not look has the reply's word.
            (delivery, isHeld) = (answer.Text, true);
        story.Add(reference is null ? answer.Text : $"{(isHeld ? "held" : "queued")} {reference}");
        if (parsed.GetValue(GlobalOptions.Json))
        {
            Console.WriteLine(new JsonObject { ["outcome"] = isHeld ? "held" : "accepted", ["reply"] = answer.Text, ["ref"] = reference, ["detail"] = delivery }.ToJsonString());
        }
        else if (!parsed.GetValue(Quiet))
        {
            Console.WriteLine(Output.Clean(string.Join(" · ", story)));
            if (delivery is not null)
                Console.WriteLine(Output.Clean(delivery));
        }
        return ExitCode.Ok;
    }

    /// <summary>One transaction; returns the reply that ended it.</summary>
    private static async Task<SmtpAnswer> TalkAsync(
        SmtpDialog smtp, (string Login, string Password)? credentials, string from, string[] recipients, byte[] content, List<string> story, CancellationToken cancellationToken)
    {
        SmtpAnswer greeting = await smtp.AskAsync(null, cancellationToken);
        if (!greeting.IsPositive)
            return greeting;
        SmtpAnswer ehlo = await smtp.AskAsync("EHLO localhost", cancellationToken);
        if (!ehlo.IsPositive)
            return ehlo;
        if (credentials is { } login)
        {
            string token = Convert.ToBase64String(Encoding.UTF8.GetBytes($"\0{login.Login}\0{login.Password}"));
            SmtpAnswer auth = await smtp.AskAsync($"AUTH PLAIN {token}", cancellationToken);
            if (!auth.IsPositive)
                return auth;
            story.Add("AUTH PLAIN ok");
        }
        string parameters = ehlo.Text.Contains("8BITMIME", StringComparison.Ordinal) ? $" SIZE={content.Length} BODY=8BITMIME" : "";
        SmtpAnswer mail = await smtp.AskAsync($"MAIL FROM:<{from}>{parameters}", cancellationToken);
        if (!mail.IsPositive)
            return mail;
        foreach (string recipient in recipients)
        {
            SmtpAnswer rcpt = await smtp.AskAsync($"RCPT TO:<{recipient}>", cancellationToken);
            if (!rcpt.IsPositive)
                return rcpt;
        }
        SmtpAnswer data = await smtp.AskAsync("DATA", cancellationToken);
        if (data.Code != 354)
            return data;
        SmtpAnswer end = await smtp.SendDataAsync(content, cancellationToken);
        await smtp.AskAsync("QUIT", cancellationToken);
        return end;
    }

    private static async Task<(string, string)?> CredentialsAsync(ParseResult parsed, SendDefaults? defaults)
    {
        if (parsed.GetValue(Login) is { } login)
        {
            return parsed.GetValue(Secrets.PasswordStdin)
                ? (login, await Secrets.ReadPasswordAsync())
                : defaults is not null && defaults.Login == login ? (login, defaults.Password) : throw new CliException(ExitCode.Usage, "a login needs its password: --password-stdin");
        }
        return defaults is null ? null : (defaults.Login, defaults.Password);
    }

    private static async Task<byte[]> ContentAsync(ParseResult parsed, string? from, string[] recipients, CancellationToken cancellationToken)
    {
        string? file = parsed.GetValue(File);
        if (file is null)
        {
            string fields = $"{(from is null ? "" : $"From: <{from}>\n")}To: {string.Join(", ", recipients.Select(r => $"<{r}>"))}\nSubject: {parsed.GetValue(Subject) ?? "RelayGate test"}\n";
            string message = fields + "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nA test message from relaygate send.\n";
            return message.Replace("\n", "", StringComparison.Ordinal).Any(char.IsControl)
                ? throw new CliException(ExitCode.Usage, "addresses and subject may not hold control characters")
                : Encoding.UTF8.GetBytes(message);
        }
        try
        {
            await using Stream input = file == "-" ? Console.OpenStandardInput() : System.IO.File.OpenRead(file);
            using var content = new MemoryStream();
            byte[] buffer = new byte[64 * 1024];
            for (int read; (read = await input.ReadAsync(buffer, cancellationToken)) > 0;)
            {
                content.Write(buffer, 0, read);
                if (content.Length > MaxContentOctets)
                    throw new CliException(ExitCode.Usage, $"the message is larger than {MaxContentOctets} octets");
            }
            return content.ToArray();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ExitCode.Failed, $"cannot read {file}: {error.Message}");
        }
    }

    /// <summary>What became of it, if this user may ask and it ends soon; else null. Of held mail: for what, and about until when.</summary>
    private static async Task<(string? Said, bool IsHeld)> DeliveryAsync(string? control, string reference, CancellationToken cancellationToken)
    {
        using var client = new ControlClient(control);
        long started = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(started) < DeliveryPatience)
        {
            JsonNode record;
            try
            {
                record = await client.GetAsync($"messages/{reference}", cancellationToken);
            }
            catch (CliException error) when (error.ExitCode != ExitCode.NotFound) // Mail can be sent without the right to look.
            {
                return default;
            }
            catch (CliException)
            {
                record = new JsonObject();
            }
            if (QueueCommands.Held(record["hold"]) is { } held)
                return ($"held for {held}", true);
            if ((record["attempts"] as JsonArray)?.LastOrDefault() is { } attempt && attempt["results"]?[0] is { } result)
            {
                string signed = Cell.Text(record["signatures"]) is { Length: > 0 } signatures ? $" · DKIM {signatures}" : "";
                return ($"{Ended(attempt, result)}{signed}" + ((string?)result["result"] == "delivered" ? "" : $": {result["reply"]}"), false);
            }
            await Task.Delay(50, cancellationToken);
        }
        return ($"not delivered yet: relaygate message explain {reference}", false);
    }

    /// <summary>How an attempt ended: where, and from which address, as far as there was a connection.</summary>
    internal static string Ended(JsonNode attempt, JsonNode result)
    {
        string by = Cell.Text(result["nextHop"] ?? attempt["nextHop"]) is { Length: > 0 } hop ? $" by {hop}" : "";
        string from = Cell.Text(result["local"] ?? attempt["local"]) is { Length: > 0 } local ? $" from {local}" : "";
        return $"{result["result"]}{by} in {Cell.Text(attempt["seconds"])} s{from}";
    }

    private static string? RefOf(string reply)
    {
        int at = reply.LastIndexOf("ref ", StringComparison.Ordinal);
        return at < 0 ? null : reply[(at + 4)..].Trim();
    }
}
