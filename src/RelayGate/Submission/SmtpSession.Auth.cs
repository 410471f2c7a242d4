using System.Buffers.Text;
using System.Text;
using System.Text.Unicode;
using Microsoft.AspNetCore.Connections.Features;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Telemetry;

namespace RelayGate.Submission;

/// <content>AUTH PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 7677), with and without initial response (RFC 4954).</content>
internal sealed partial class SmtpSession
{
    private int _failedLogins;

    /// <summary>A password in the clear is taken only where nobody can listen: under TLS, on the unix socket, or on loopback without STARTTLS.</summary>
    private bool OffersAuth => _tls is not null || _client.IsUnix || (_client.IsLoopback && _client.Tls == ListenerTls.None);

    private async ValueTask AuthAsync(AuthCommand auth)
    {
        if (_login is not null)
            await BadAsync(Replies.AuthTwice);
        else if (!OffersAuth)
            await BadAsync(Replies.AuthNeedsTls);
        else if (!SubmissionService.Mechanisms.Contains(auth.Mechanism))
            await BadAsync(Replies.AuthUnknownMechanism);
        else
        {
            SmtpReply? fault = auth.Mechanism switch
            {
                ScramExchange.Mechanism => await ScramAsync(auth),
                "PLAIN" => await CheckAsync(auth.Mechanism, await ReadPlainAsync(auth)),
                _ => await CheckAsync(auth.Mechanism, await ReadLoginAsync(auth)),
            };
            if (fault is null)
                return;
            _service.Metrics.Authentications.Increment(auth.Mechanism, ReferenceEquals(fault, Replies.AuthCancelled) ? "cancelled" : "malformed");
            await BadAsync(fault);
        }
    }

    /// <summary>Four messages, the last of them ours; the client has nothing to say to it (RFC 4954 §4: it answers with an empty line).</summary>
    /// <returns>The reply when the exchange ended before its end.</returns>
    private async ValueTask<SmtpReply?> ScramAsync(AuthCommand auth)
    {
        SaslResponse first = auth.InitialResponse is { } initial ? Decode(initial) : await AskAsync(Replies.AuthPlainPrompt);
        if (first.Fault is not null || !_open)
            return first.Fault;
        if (ScramExchange.Begin(first.Text) is not { } exchange)
            return Replies.AuthMalformed;
        ScramLogin login = await _service.Directory.FindScramLoginAsync(exchange.Login, CancellationToken.None);
        SaslResponse final = await AskAsync(Prompt(exchange.Challenge(login)));
        if (final.Fault is not null || !_open)
            return final.Fault;
        if (exchange.Finish(final.Text, out string signature) is not { } check)
            return Replies.AuthMalformed;
        return await LogInAsync(ScramExchange.Mechanism, exchange.Login, () => ValueTask.FromResult(login.Known.Result(check)), signature);
    }

    private async ValueTask<SmtpReply?> CheckAsync(string mechanism, SaslExchange exchange) => exchange.Fault is not null || !_open ? exchange.Fault
        : await LogInAsync(mechanism, exchange.Login, () => _service.Directory.AuthenticateAsync(exchange.Login, exchange.Password, CancellationToken.None));

    private static SmtpReply Prompt(string message) => new(334, null, Convert.ToBase64String(Encoding.UTF8.GetBytes(message)));

    /// <summary>One message: authorization identity NUL login NUL password. The first may only repeat the second.</summary>
    private async ValueTask<SaslExchange> ReadPlainAsync(AuthCommand auth)
    {
        SaslResponse message = auth.InitialResponse is { } initial ? Decode(initial) : await AskAsync(Replies.AuthPlainPrompt);
        if (message.Fault is not null || !_open)
            return new("", "", message.Fault);
        string[] parts = message.Text.Split('\0');
        return parts.Length == 3 && parts[1].Length > 0 && (parts[0].Length == 0 || parts[0] == parts[1])
            ? new(parts[1], parts[2], null)
            : new("", "", Replies.AuthMalformed);
    }

    /// <summary>Two prompts in the words that clients look for; an initial response is the login.</summary>
    private async ValueTask<SaslExchange> ReadLoginAsync(AuthCommand auth)
    {
        SaslResponse login = auth.InitialResponse is { } initial ? Decode(initial) : await AskAsync(Replies.AuthLoginPrompt);
        if (login.Fault is not null || !_open)
            return new("", "", login.Fault);
        SaslResponse password = await AskAsync(Replies.AuthPasswordPrompt);
        if (password.Fault is not null || !_open)
            return new("", "", password.Fault);
        return login.Text.Length == 0 || login.Text.Contains('\0') || password.Text.Contains('\0')
            ? new("", "", Replies.AuthMalformed)
            : new(login.Text, password.Text, null);
    }

    /// <summary>Sends a prompt and reads the answer. Without fault and with the session closed: nobody is there any more.</summary>
    private async ValueTask<SaslResponse> AskAsync(SmtpReply prompt)
    {
        _channel.Write(prompt);
        switch (await _channel.ReadLineAsync(_idle, isResponse: true))
        {
            case LineResult.Line when _channel.Line.SequenceEqual("*"u8):
                return new("", Replies.AuthCancelled);
            case LineResult.Line:
                return Decode(_channel.Line);
            case LineResult.TooLong:
                return new("", Replies.AuthTooLong);
            case LineResult.TimedOut:
                await EndAsync(Replies.Idle);
                break;
            case LineResult.Closed:
                _open = false;
                break;
            default:
                await EndAsync(Replies.BareLineEnd);
                break;
        }
        return new("", null);
    }

    private static SaslResponse Decode(string initial) => initial == "=" ? new("", null) : Decode(Encoding.ASCII.GetBytes(initial));

    /// <summary>Strict base64 of strict UTF-8.</summary>
    private static SaslResponse Decode(ReadOnlySpan<byte> base64)
    {
        byte[] octets = new byte[Base64.GetMaxDecodedFromUtf8Length(base64.Length)];
        // The decoder would skip blanks; RFC 4954 §4 has none.
        bool valid = !base64.ContainsAny(" \t\r\n"u8)
            & Base64.DecodeFromUtf8(base64, octets, out int consumed, out int written) == System.Buffers.OperationStatus.Done
            && consumed == base64.Length && Utf8.IsValid(octets.AsSpan(0, written));
        string text = valid ? Encoding.UTF8.GetString(octets, 0, written) : "";
        System.Security.Cryptography.CryptographicOperations.ZeroMemory(octets);
        return new(text, valid ? null : Replies.AuthMalformed);
    }

    /// <param name="signature">What a client that was right is told before it is let in.</param>
    /// <returns>The reply when the exchange ended before its end.</returns>
    private async ValueTask<SmtpReply?> LogInAsync(string mechanism, string login, Func<ValueTask<AuthenticationResult>> check, string? signature = null)
    {
        if (!_service.Logins.TryBegin(_client.AddressKey, out bool counted))
        {
            Report(mechanism, "refused");
            await BadAsync(Replies.AuthThrottled);
            return null;
        }
        bool isRefused;
        AuthenticationResult result;
        try
        {
            result = await check(); // Also of who is refused: what a check costs tells nobody whether it counts.
            if (result.Name.Length > 0)
                login = result.Name; // One account, one line, however it is spelled.
            isRefused = _service.Logins.Refuses(_client.AddressKey, login);
            if (isRefused && result.Identity is { } identity && _client.Address is { } address
                && await _service.Directory.HasLoggedInAsync(identity.Name, address, CancellationToken.None))
                isRefused = false;
        }
        finally
        {
            _service.Logins.End(_client.AddressKey, counted);
        }
        switch (result.Outcome)
        {
            case AuthenticationOutcome.Accepted when !isRefused:
                if (signature is not null && await AskAsync(Prompt(signature)) is var end && (end.Fault is not null || end.Text.Length > 0 || !_open))
                    return _open ? end.Fault ?? Replies.AuthMalformed : null;
                Report(mechanism, "accepted");
                await LoggedInAsync(result.Identity!);
                return null;
            case AuthenticationOutcome.TryLater:
                Report(mechanism, "try-later");
                _channel.Write(Replies.AuthLater);
                return null;
            default:
                await FailedAsync(mechanism, login, result, isRefused);
                return null;
        }
    }

    private async ValueTask FailedAsync(string mechanism, string login, AuthenticationResult result, bool isRefused)
    {
        Task delay = DelayFailureAsync(login, result.Exists ? login : null);
        if (result is { Exists: true, Outcome: AuthenticationOutcome.Rejected })
            _service.Directory.Uses.Failed(login);
        Report(mechanism, isRefused ? "refused" : "rejected");
        await _channel.FlushAsync();
        await delay.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await BadAsync(isRefused ? Replies.AuthThrottled : Replies.AuthFailed);
        if (_open && (_failedLogins >= SubmissionLimits.FailedLogins || (_client.AddressKey is null && _service.Logins.IsGuessed(login))))
            await EndAsync(Replies.TooManyFailedLogins);
    }

    /// <summary>
    /// Waits although the client hangs up, and the session counts all the while: who took silence for "wrong" could else try the next password at once.
    /// </summary>
    private Task DelayFailureAsync(string login, string? known)
    {
        CancellationToken stopping = _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        return Task.Delay(_service.Logins.Failed(_client.AddressKey, login, ++_failedLogins, known), _service.Time, stopping);
    }

    private async ValueTask LoggedInAsync(SenderIdentity identity)
    {
        if (!TryCountIdentity(identity))
        {
            await EndAsync(await RefuseSessionAsync(identity with { Client = _client.Address }, new MailCommand(ReversePath.Null), "AUTH"));
            return;
        }
        _login = identity with { Client = _client.Address, Process = _client.Process };
        _source = null;
        _service.Directory.Uses.Used(IdentityUses.Login, identity.Name, _client.Address);
        _channel.Write(Replies.AuthOk);
    }

    private void Report(string mechanism, string result)
    {
        _service.Metrics.Authentications.Increment(mechanism, result);
        Log.Authenticated(_service.Logger, mechanism, _client.Listener, _client.Address, result);
    }

    /// <param name="Fault">The reply when the response cannot be used.</param>
    private readonly record struct SaslResponse(string Text, SmtpReply? Fault);

    private readonly record struct SaslExchange(string Login, string Password, SmtpReply? Fault);
}
