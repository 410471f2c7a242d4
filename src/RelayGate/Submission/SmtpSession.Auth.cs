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

/// <content>AUTH PLAIN (RFC 4616) and LOGIN, with and without initial response (RFC 4954).</content>
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
        else if (auth.Mechanism is not ("PLAIN" or "LOGIN"))
            await BadAsync(Replies.AuthUnknownMechanism);
        else
        {
            SaslExchange exchange = auth.Mechanism == "PLAIN" ? await ReadPlainAsync(auth) : await ReadLoginAsync(auth);
            if (exchange.Fault is { } fault)
            {
                _service.Metrics.Authentications.Increment(auth.Mechanism, ReferenceEquals(fault, Replies.AuthCancelled) ? "cancelled" : "malformed");
                await BadAsync(fault);
            }
            else if (_open)
                await LogInAsync(auth.Mechanism, exchange.Login, exchange.Password);
        }
    }

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

    private async ValueTask LogInAsync(string mechanism, string login, string password)
    {
        if (!_service.Logins.TryBegin(_client.AddressKey, out bool counted))
        {
            await BadAsync(Replies.AuthThrottled);
            return;
        }
        AuthenticationResult result;
        try
        {
            result = await _service.Directory.AuthenticateAsync(login, password, CancellationToken.None);
        }
        finally
        {
            _service.Logins.End(_client.AddressKey, counted);
        }
        switch (result.Outcome)
        {
            case AuthenticationOutcome.Accepted:
                Report(mechanism, "accepted");
                await LoggedInAsync(result.Identity!);
                break;
            case AuthenticationOutcome.TryLater:
                Report(mechanism, "try-later");
                _channel.Write(Replies.AuthLater);
                break;
            default:
                Task delay = DelayFailureAsync(login);
                Report(mechanism, "rejected");
                await _channel.FlushAsync();
                await delay.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                await BadAsync(Replies.AuthFailed);
                if (_open && _failedLogins >= SubmissionLimits.FailedLogins)
                    await EndAsync(Replies.TooManyFailedLogins);
                break;
        }
    }

    /// <summary>
    /// Waits although the client hangs up, and the session counts all the while: who took silence for "wrong" could else try the next password at once.
    /// </summary>
    private Task DelayFailureAsync(string login)
    {
        CancellationToken stopping = _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        return Task.Delay(_service.Logins.Failed(_client.AddressKey, login, ++_failedLogins), _service.Time, stopping);
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
