using System.Net.Security;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Submission;

/// <summary>One SMTP session: line → command → legal now? → handler → reply (DESIGN §4, step 2).</summary>
/// <remarks>Cut by subject: Transaction (MAIL, RCPT), Data (DATA, BDAT and the end of data), Auth, Tls.</remarks>
internal sealed partial class SmtpSession : IAsyncDisposable
{
    private readonly SubmissionService _service;
    private readonly SubmissionClient _client;
    private readonly ConnectionContext _connection;
    private readonly SmtpChannel _channel;
    private readonly TimeSpan _idle;
    private readonly string _clientName;
    private SessionPhase _phase = SessionPhase.Connected;
    private bool _open = true;
    private string _heloName = "";
    private bool _isEsmtp;
    private SslStream? _tls;
    private SenderIdentity? _login;
    private string? _identityKey;
    private bool _isAnonymous;
    private SubmissionSource? _source;
    private SenderClaims? _claims;
    private MailTransaction? _transaction;
    private int _transactions;
    private int _errors;
    private int _idleCommands;
    private int _spareCommands;
    private int _excessRecipients;
    private long _discardedOctets;
    private bool _afterRefusal;

    public SmtpSession(SubmissionService service, SubmissionClient client, ConnectionContext connection, SmtpChannel channel)
    {
        _service = service;
        _client = client;
        _connection = connection;
        _channel = channel;
        _idle = service.Options.Sessions.Idle;
        _clientName = client.Address?.ToString() ?? client.Listener;
    }

    /// <summary>Speaks until one side ends the session.</summary>
    public async Task RunAsync()
    {
        if (!await EnterAsync())
            return;
        if (_client.Tls == Configuration.ListenerTls.Implicit && !await BeginTlsAsync())
            return;
        _channel.Write(_service.Greeting);
        while (_open)
        {
            switch (await _channel.ReadLineAsync(_idle))
            {
                case LineResult.Line:
                    await HandleAsync();
                    break;
                case LineResult.TooLong:
                    await BadAsync(Replies.LineTooLong);
                    break;
                case LineResult.LostChunk:
                    await EndAsync(Replies.LineTooLong);
                    break;
                case LineResult.BareLineEnd:
                    await EndAsync(Replies.BareLineEnd);
                    break;
                case LineResult.NeverEnds:
                    await EndAsync(Replies.TooManyErrors);
                    break;
                case LineResult.TimedOut:
                    await EndAsync(Replies.Idle);
                    break;
                case LineResult.Stopping:
                    await EndAsync(Replies.Stopping);
                    break;
                default:
                    _open = false;
                    break;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        EndTransaction();
        LeaveIdentity();
        if (_tlsInput is not null)
            await _tlsInput.CompleteAsync(); // Gives its buffers back.
        if (_tls is not null)
            await _tls.DisposeAsync();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask HandleAsync()
    {
        if (!SmtpCommandParser.TryParse(_channel.Line, _client.IsUnix, out SmtpCommand? command, out SmtpSyntaxError? error))
        {
            await (error.MustClose ? EndAsync(error.Reply) : BadAsync(error.Reply));
            return;
        }
        if (SessionState.Admit(_phase, command.Verb) is { } refusal)
        {
            await NotAdmittedAsync(command, refusal);
            return;
        }
        switch (command)
        {
            case MailCommand mail:
                await MailAsync(mail);
                break;
            case RcptCommand rcpt:
                await RcptAsync(rcpt);
                break;
            case BdatCommand bdat:
                await BdatAsync(bdat);
                break;
            case AuthCommand auth:
                await AuthAsync(auth);
                break;
            case XClaimCommand claim:
                await ClaimAsync(claim);
                break;
            case HelloCommand hello:
                await HelloAsync(hello);
                break;
            default:
                await HandlePlainAsync(command.Verb);
                break;
        }
    }

    private ValueTask HandlePlainAsync(SmtpVerb verb)
    {
        switch (verb)
        {
            case SmtpVerb.Data:
                return DataAsync();
            case SmtpVerb.StartTls:
                return StartTlsAsync();
            case SmtpVerb.Rset:
                EndTransaction();
                return IdleCommandAsync(Replies.Reset);
            case SmtpVerb.Noop:
                return IdleCommandAsync(Replies.Done);
            case SmtpVerb.Vrfy:
                return IdleCommandAsync(Replies.CannotVerify);
            case SmtpVerb.Help:
                return IdleCommandAsync(Replies.Help);
            case SmtpVerb.Quit:
                return EndAsync(Replies.Closing);
            default:
                throw new InvalidOperationException($"No handler for {verb}");
        }
    }

    private ValueTask HelloAsync(HelloCommand hello)
    {
        EndTransaction(); // RFC 5321 §4.1.4: EHLO in the middle is a RSET.
        _phase = SessionPhase.Greeted;
        _heloName = hello.Name;
        _isEsmtp = hello.Verb == SmtpVerb.Ehlo;
        _source = null;
        _claims = null;
        return IdleCommandAsync(_isEsmtp ? _service.Ehlo(OffersStartTls, OffersAuth, _client.IsUnix, isTls: _tls is not null) : _service.Helo);
    }

    private ValueTask ClaimAsync(XClaimCommand claim)
    {
        _claims = claim.Claims;
        _source = null;
        return IdleCommandAsync(Replies.Noted);
    }

    /// <summary>Answers a command that moves no mail; a flood of them counts as errors.</summary>
    private ValueTask IdleCommandAsync(SmtpReply reply)
    {
        if (++_idleCommands > SubmissionLimits.IdleCommands)
            return BadAsync(reply);
        _channel.Write(reply);
        return default;
    }

    /// <summary>Answers a command out of order. The octets of a chunk are read all the same (RFC 3030 §2).</summary>
    private async ValueTask NotAdmittedAsync(SmtpCommand command, SmtpReply refusal)
    {
        if (command is BdatCommand bdat && !await DiscardChunkAsync(bdat))
            return;
        // Who pipelines sends the rest of a transaction before it can know that MAIL was refused: no fault of the client.
        bool isExcused = _afterRefusal && command.Verb is SmtpVerb.Rcpt or SmtpVerb.Data or SmtpVerb.Bdat;
        await (isExcused && _discardedOctets <= LargestChunk ? SpareAsync(refusal) : BadAsync(refusal));
    }

    /// <summary>Answers what a client may have sent before it could know better; very much of it counts as errors.</summary>
    private ValueTask SpareAsync(SmtpReply reply)
    {
        if (++_spareCommands > SubmissionLimits.SpareCommands)
            return BadAsync(reply);
        _channel.Write(reply);
        return default;
    }

    /// <summary>Answers an error: slowly from the tenth on, and for the last time at the twentieth.</summary>
    private async ValueTask BadAsync(SmtpReply reply)
    {
        if (++_errors > SubmissionLimits.ErrorsBeforeDelay)
            await DelayAsync(SubmissionLimits.ErrorDelay);
        _channel.Write(reply);
        if (_errors >= SubmissionLimits.ErrorsBeforeClose)
            await EndAsync(Replies.TooManyErrors);
    }

    private async ValueTask DelayAsync(TimeSpan delay)
    {
        await _channel.FlushAsync();
        await Task.Delay(delay, _service.Time, _connection.ConnectionClosed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async ValueTask EndAsync(SmtpReply reply)
    {
        _open = false;
        Log.SessionEnded(_service.Logger, _client.Listener, _client.Address, reply.ToString());
        await _channel.CloseAsync(reply);
        await CloseTlsAsync();
    }

    private void EndTransaction()
    {
        _transaction?.Dispose();
        _transaction = null;
        _afterRefusal = false;
        if (_phase != SessionPhase.Connected)
            _phase = SessionPhase.Greeted;
    }
}
