using System.Net.Sockets;
using System.Text;

namespace RelayGate.InteropTests.Storm;

/// <summary>One session of an MX host of the storm.</summary>
/// <param name="domain">Null: the home of the sender, where reports come to.</param>
internal sealed class StormSession(StormInternet internet, Socket socket, NetworkStream stream, StormKind kind, int? domain) : IDisposable
{
    private readonly StreamReader _reader = new(stream, Encoding.Latin1, detectEncodingFromByteOrderMarks: false, 4096, leaveOpen: true);
    private readonly List<string> _recipients = [];
    private string? _reversePath;

    public void Dispose() => _reader.Dispose();

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (internet.Closed)
        {
            await SayAsync("421 4.3.2 Closed");
            return;
        }
        switch (kind)
        {
            case StormKind.ClosesAtOnce:
            case StormKind.ResetsEverySecondConnection when internet.Count($"connection {domain}") % 2 == 1:
                socket.LingerState = new LingerOption(kind == StormKind.ResetsEverySecondConnection, 0);
                return;
            case StormKind.IsSilent:
                while (await _reader.ReadLineAsync(cancellationToken) is not null)
                {
                }
                return;
        }
        await SayAsync("220 mx.storm.test ESMTP");
        while (await _reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (!await AnswerAsync(line, cancellationToken))
                return;
        }
    }

    /// <returns>False: the session is over.</returns>
    private async Task<bool> AnswerAsync(string line, CancellationToken cancellationToken)
    {
        switch (line.Split(' ')[0].ToUpperInvariant())
        {
            case "EHLO":
                // All ways of sending occur: with and without PIPELINING and CHUNKING.
                await SayAsync(string.Join("\r\n", ["250-mx.storm.test", .. kind == StormKind.SpeaksNoTlsAfterStartTls ? ["250-STARTTLS"] : Array.Empty<string>(),
                    .. (domain % 3) switch { 0 => Array.Empty<string>(), 1 => ["250-PIPELINING"], _ => ["250-PIPELINING", "250-CHUNKING"] }, "250 8BITMIME"]));
                return true;
            case "STARTTLS":
                await SayAsync("220 2.0.0 Go on\r\nno TLS here");
                return false;
            case "MAIL" when kind == StormKind.GoesAwayAtMail:
                await SayAsync("421 4.3.2 Going down");
                return false;
            case "MAIL":
                _reversePath = line[10..line.IndexOf('>', StringComparison.Ordinal)].TrimStart('<');
                _recipients.Clear();
                await SayAsync("250 2.1.0 Ok");
                return true;
            case "RCPT":
                return await RecipientAsync(line[9..line.IndexOf('>', StringComparison.Ordinal)]);
            case "DATA":
                if (_recipients.Count == 0 && kind != StormKind.WantsContentWithoutRecipients)
                {
                    await SayAsync("503 5.5.1 RCPT first");
                    return true;
                }
                await SayAsync("354 Go on");
                var text = new StringBuilder();
                while (await _reader.ReadLineAsync(cancellationToken) is { } content)
                {
                    if (content == ".")
                        return await TakeAsync(text.ToString());
                    text.Append(content.AsSpan(content.StartsWith('.') ? 1 : 0)).Append("\r\n");
                }
                return false;
            case "BDAT":
                var chunk = new char[int.Parse(line.Split(' ')[1])];
                if (await _reader.ReadBlockAsync(chunk, cancellationToken) < chunk.Length)
                    return false;
                if (_recipients.Count > 0)
                    return await TakeAsync(new string(chunk));
                await SayAsync("503 5.5.1 RCPT first");
                return true;
            case "QUIT":
                await SayAsync("221 2.0.0 Bye");
                return false;
            case "RSET":
                _recipients.Clear();
                await SayAsync("250 2.0.0 Ok");
                return true;
            default:
                await SayAsync("502 5.5.1 What?");
                return true;
        }
    }

    private async Task<bool> RecipientAsync(string recipient)
    {
        switch (kind)
        {
            case StormKind.RefusesRecipients:
            case StormKind.WantsContentWithoutRecipients:
                await SayAsync("550 5.1.1 No such user");
                return true;
            case StormKind.GreylistsEachMessage when internet.Count($"rcpt {recipient}") == 1:
                await SayAsync("450 4.7.1 Greylisted, come back");
                return true;
            case StormKind.RepliesMalformedAtFirst when internet.Count($"malformed {domain}") <= 3:
                await SayAsync("250-Ok\r\n550 No");
                return true;
        }
        _recipients.Add(recipient);
        await SayAsync("250 2.1.5 Ok");
        return true;
    }

    private async Task<bool> TakeAsync(string text)
    {
        if (domain is null)
        {
            if (_reversePath?.Length == 0)
                internet.Tally.TakeReport(text);
            else
                internet.Tally.Strange.Enqueue($"from {_reversePath} to home");
            await SayAsync("250 2.0.0 Ok");
            return true;
        }
        if (_recipients.Count == 0)
        {
            await SayAsync("554 5.5.1 No recipients");
            return true;
        }
        string id = StormTally.IdOf(text);
        switch (kind)
        {
            case StormKind.RefusesContent:
                await SayAsync("554 5.6.0 Not this one");
                return true;
            case StormKind.IsFullAtFirst when internet.Count($"full {id}") == 1:
                await SayAsync("452 4.3.1 Full");
                return true;
            case StormKind.TakesAndNeverReplies:
            case StormKind.TakesAndClosesWithoutReplyAtFirst when internet.Count($"closed {id}") == 1:
                internet.Tally.Take(text, _recipients, confirmed: false);
                return false;
        }
        await SayAsync("250 2.0.0 Ok");
        internet.Tally.Take(text, _recipients, confirmed: true); // After the write: one that failed is no 250.
        if (kind != StormKind.ResetsAfterItsReply)
            return true;
        socket.LingerState = new LingerOption(true, 0);
        return false;
    }

    private async Task SayAsync(string reply)
    {
        byte[] octets = Encoding.Latin1.GetBytes(reply + "\r\n");
        if (kind != StormKind.RepliesOctetByOctet)
        {
            await stream.WriteAsync(octets);
            return;
        }
        for (int i = 0; i < octets.Length; i++)
            await stream.WriteAsync(octets.AsMemory(i, 1));
    }
}
