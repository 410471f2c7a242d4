using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Core.Tls;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>One SMTP session with a next hop, from a bound local address (RFC 5321 §3.1 to §3.8).</summary>
/// <remarks>
/// Every wait has a deadline, watched from outside by one timer for all sessions (<see cref="ExpireIfDue"/>), so that a read costs no timer.
/// A session is used by one delivery at a time; it may be kept for the next while <see cref="IsReusable"/>.
/// </remarks>
internal sealed partial class SmtpClientSession : IDisposable
{
    private const long NoDeadline = 0;
    private const long Expired = -1;

    private readonly DeliveryOptions _options;
    private readonly TrustedAuthorities _authorities;
    private readonly TimeProvider _time;
    private readonly ChunkReader _readChunk;
    private readonly ReplyRuleBook _rules;
    private readonly OrderlyHosts _orderly;
    private readonly SmtpTransport _transport = new();
    private long _deadline;
    private bool _needsReset;
    private bool _tlsFailed; // On this connection or the one before, so that it goes on without.
    private bool _readsContentAsCommands; // It did not know BDAT: replies to each line of the content are to come.

    /// <summary>Takes nothing that could be missing: the socket is made when the session is opened.</summary>
    public SmtpClientSession(
        EgressBinding egress, NextHopAddress nextHop, DeliveryOptions options, TrustedAuthorities authorities, TimeProvider time, ChunkReader readChunk, ReplyRuleBook rules, OrderlyHosts orderly)
    {
        Egress = egress;
        NextHop = nextHop;
        _options = options;
        _authorities = authorities;
        _time = time;
        _readChunk = readChunk;
        _rules = rules;
        _orderly = orderly;
    }

    public EgressBinding Egress { get; }

    public NextHopAddress NextHop { get; }

    /// <summary>The real local address after connect; null before.</summary>
    public IPAddress? LocalAddress { get; private set; }

    /// <summary>The local address as text, made once; "" before connect.</summary>
    public string LocalText { get; private set; } = "";

    public EhloKeywords Keywords { get; private set; } = EhloKeywords.None;

    /// <summary>What came of TLS; null: the session did not get that far.</summary>
    public TlsOutcome? Tls { get; private set; }

    /// <summary>STARTTLS was tried and ended the connection, at the command or in the handshake, and the policy allows plain text: the next connection does without.</summary>
    public bool TlsHandshakeFailed { get; private set; }

    /// <summary>As an attempt notes it, once the session is open or will not be.</summary>
    public AttemptHost Host => field ??= new AttemptHost(NextHop.Host, NextHop.Remote, LocalText, NextHop.Provider, Tls?.Description);

    /// <summary>Transactions so far.</summary>
    public int Transactions { get; private set; }

    /// <summary>Whether another transaction may follow.</summary>
    public bool IsReusable { get; private set; }

    /// <summary>The place in the pool it belongs to.</summary>
    public Lane? Lane { get; init; }

    /// <summary>Where it stands in the lists of idle sessions of its bounds, and last in that of its lane; empty until it was idle once.</summary>
    public LinkedListNode<SmtpClientSession>[] IdleNodes { get; set; } = [];

    /// <summary>Whether <see cref="OpenAsync"/> was called.</summary>
    public bool WasOpened { get; private set; }

    /// <summary>When it was last put aside (<see cref="TimeProvider.GetTimestamp"/>).</summary>
    public long IdleSince { get; set; }

    /// <summary>Timestamp of when its lane was given it last, new or idle: from then on it goes from delivery to delivery.</summary>
    public long GivenSince { get; set; }

    /// <summary>Whether the next hop has closed or spoken while the session was idle.</summary>
    public bool IsStale => !IsReusable || HasExpired || _transport.IsStale;

    private bool HasExpired => Volatile.Read(ref _deadline) == Expired;

    /// <summary>Ends the session if its current wait is over its limit. Called by the timer of the pool.</summary>
    public void ExpireIfDue(long now)
    {
        long deadline = Volatile.Read(ref _deadline);
        if (deadline > NoDeadline && deadline <= now && Interlocked.CompareExchange(ref _deadline, Expired, deadline) == deadline)
            _transport.Abort();
    }

    /// <summary>Ends the session from outside, at shutdown.</summary>
    public void Abort() => _transport.Abort();

    public void Dispose() => _transport.Dispose();

    /// <summary>Connects, checks the local address, reads the greeting, says EHLO and starts TLS where it is offered.</summary>
    /// <param name="allowTls">False after a failed handshake (opportunistic TLS, RFC 7435).</param>
    /// <param name="checkLocal">Asked with the real local address, before anything is sent.</param>
    /// <returns>Null when the session is ready, else what stopped it and where.</returns>
    public async Task<SessionFailure?> OpenAsync(bool allowTls, Func<IPAddress, ValueTask<SessionFailure?>> checkLocal)
    {
        WasOpened = true;
        _tlsFailed = !allowTls;
        DeliveryStage stage = DeliveryStage.Connect;
        try
        {
            Arm(_options.Timeouts.Connect);
            Socket socket = _transport.Open(NextHop.EndPoint.AddressFamily);
            if (EgressSocket.Bind(socket, Egress) is { } bindFailure)
                return bindFailure;
            await socket.ConnectAsync(NextHop.EndPoint);
            if (EgressSocket.CheckLocalAddress(socket, Egress, out IPAddress local) is { } mismatch)
                return mismatch; // Before a single octet is sent.
            if (await checkLocal(local) is { } notAllowed)
                return notAllowed;
            LocalAddress = local;
            LocalText = local.ToString();

            if (NextHop.IsImplicitTls)
            {
                stage = DeliveryStage.StartTls;
                await StartTlsAsync();
            }
            stage = DeliveryStage.Greeting;
            Arm(_options.Timeouts.Reply);
            if (await _transport.ReadReplyAsync() != 220)
                return Refused(stage);
            stage = DeliveryStage.Ehlo;
            if (!await SayHelloAsync())
                return Refused(stage);
            if (_transport.Tls is null && NextHop.Tls.Mode != TlsMode.None && allowTls && Keywords.StartTls)
            {
                stage = DeliveryStage.StartTls;
                _transport.Append("STARTTLS\r\n"u8);
                _tlsFailed = await ExchangeAsync() != 220;
                if (!_tlsFailed)
                {
                    await StartTlsAsync();
                    stage = DeliveryStage.Ehlo;
                    if (!await SayHelloAsync())
                        return Refused(stage);
                }
            }
            if (_transport.Tls is null && WithoutTls(allowTls) is { } noTls)
                return noTls;
            stage = DeliveryStage.Auth;
            if (NextHop.Login is { } login && await LogInAsync(login) is { } notLoggedIn)
                return notLoggedIn;
            Disarm();
            IsReusable = true;
            return null;
        }
        catch (Exception e) when (IsNetworkFailure(e))
        {
            return stage == DeliveryStage.StartTls ? TlsFailed(e) : new SessionFailure(stage, Lost(stage, e));
        }
    }

    /// <summary>Says QUIT without waiting for its reply: nothing depends on it, and a next hop that stalls here must not cost time.</summary>
    public async Task QuitAsync()
    {
        try
        {
            _transport.Append("QUIT\r\n"u8);
            ValueTask sent = _transport.FlushAsync();
            if (!sent.IsCompleted)
                _transport.Abort(); // Not even these few octets go out at once: nobody watches the time of a session that has left the pool.
            await sent;
        }
        catch (Exception e) when (IsNetworkFailure(e))
        {
            // It is gone already: QUIT has nothing left to end.
        }
        finally
        {
            Dispose();
        }
    }

    private async ValueTask<bool> SayHelloAsync()
    {
        AppendHello("EHLO "u8);
        if (await ExchangeAsync() == 250)
        {
            Keywords = EhloKeywords.Read(_transport.Reply);
            return true;
        }
        Keywords = EhloKeywords.None;
        if (_transport.Reply[0] != '5')
            return false;
        AppendHello("HELO "u8); // RFC 5321 §3.2: a server that does not know EHLO.
        return await ExchangeAsync() == 250;
    }

    private void AppendHello(ReadOnlySpan<byte> verb)
    {
        _transport.Append(verb);
        AppendArgument(Egress.Helo);
        _transport.Append("\r\n"u8);
    }

    private async ValueTask<int> ExchangeAsync()
    {
        Arm(_options.Timeouts.Reply);
        await _transport.FlushAsync();
        return await _transport.ReadReplyAsync();
    }

    /// <summary>Appends text that comes from outside this class. Addresses and names were checked when they came in; a line end here would be a bug.</summary>
    private void AppendArgument(string text)
    {
        if (text.AsSpan().ContainsAny('\r', '\n', '\0'))
            throw new InvalidOperationException("A command argument holds a line end");
        _transport.Append(text);
    }

    private void Arm(TimeSpan limit)
    {
        if (!HasExpired)
            Volatile.Write(ref _deadline, _time.GetTimestamp() + (long)(limit.TotalSeconds * _time.TimestampFrequency));
    }

    private void Disarm()
    {
        if (!HasExpired)
            Volatile.Write(ref _deadline, NoDeadline);
    }

    /// <exception cref="NextHopException">The reply is positive, but not the one that is due: nobody knows what it is about.</exception>
    private SessionFailure Refused(DeliveryStage stage)
    {
        RecipientOutcome outcome = OutcomeOfReply(stage);
        return outcome.Code < 400 ? throw new NextHopException(NextHopException.NotSmtp, $"Unexpected reply ({outcome.Text})") : new SessionFailure(stage, outcome);
    }

    private RecipientOutcome Lost(DeliveryStage stage, Exception e)
    {
        IsReusable = false;
        string where = $"{NextHop} at {DeliveryOutcome.NameOf(stage)}";
        OutcomeKind kind = DeliveryOutcome.OfLostConnection(stage);
        if (HasExpired)
            return RecipientOutcome.Local(kind, stage == DeliveryStage.Connect ? "4.4.1" : "4.4.2", $"Time limit reached: {where}");
        return e switch
        {
            NextHopException { Reply: { } goodbye } => OutcomeOf(stage, goodbye),
            NextHopException broken => RecipientOutcome.Local(kind, broken.Status, $"{broken.Message}: {where}"),
            SocketException socket when stage == DeliveryStage.Connect => RecipientOutcome.Local(kind, "4.4.1", $"No connection ({socket.SocketErrorCode}): {where}"),
            AuthenticationException => RecipientOutcome.Local(kind, "4.7.5", $"TLS handshake failed: {where}"),
            _ => RecipientOutcome.Local(kind, "4.4.2", $"Connection lost: {where}"),
        };
    }

    private static bool IsNetworkFailure(Exception e) => e is IOException or SocketException or ObjectDisposedException or AuthenticationException;
}
