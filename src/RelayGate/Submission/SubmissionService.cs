using System.Buffers.Binary;
using Microsoft.Extensions.Logging;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Telemetry;
using RelayGate.Tls;

namespace RelayGate.Submission;

/// <summary>What all sessions of all listeners share. One for a gateway.</summary>
public sealed class SubmissionService : IDisposable
{
    private readonly SmtpReply[] _ehlo;

    public SubmissionService(
        RelayGateOptions options,
        AccountDirectory directory,
        QueueWriter writer,
        ServerCertificate certificate,
        RelayGateMetrics metrics,
        MailLog mailLog,
        TimeProvider time,
        ILogger<SubmissionService> logger)
    {
        Options = options;
        Directory = directory;
        Writer = writer;
        Certificate = certificate;
        Metrics = metrics;
        MailLog = mailLog;
        Time = time;
        Logger = logger;
        Sessions = new SessionTable(options.Sessions, time);
        Logins = new LoginThrottle(options.Logins, time);
        Logins.Detected += OnGuessing;
        Greeting = SmtpReply.Parse($"220 {options.Hostname} ESMTP RelayGate");
        Helo = SmtpReply.Parse($"250 {options.Hostname}");
        _ehlo = [.. Enumerable.Range(0, 16).Select(i => EhloReply(startTls: (i & 2) != 0, auth: (i & 1) != 0, isUnix: (i & 4) != 0, isTls: (i & 8) != 0))];
    }

    /// <summary>Passwords are being guessed; once for each address and login in the time for which it is refused. On a session's thread: must not block.</summary>
    public event Action<GuessingDetected>? GuessingDetected;

    /// <summary>What AUTH offers, in the order in which old clients like it.</summary>
    internal static IReadOnlyList<string> Mechanisms { get; } = ["PLAIN", "LOGIN", ScramExchange.Mechanism];

    internal RelayGateOptions Options { get; }

    internal AccountDirectory Directory { get; }

    internal QueueWriter Writer { get; }

    internal ServerCertificate Certificate { get; }

    internal RelayGateMetrics Metrics { get; }

    internal MailLog MailLog { get; }

    internal TimeProvider Time { get; }

    internal ILogger Logger { get; }

    internal SessionTable Sessions { get; }

    internal LoginThrottle Logins { get; }

    internal ProcessReader Processes { get; init; } = new();

    internal MemoryBudget ContentMemory { get; } = new(SubmissionLimits.ContentMemory, SubmissionLimits.ContentMemory / 2);

    internal SmtpReply Greeting { get; }

    internal SmtpReply Helo { get; }

    public void Dispose() => Sessions.Dispose();

    /// <summary>The reply to EHLO: exactly what works on this connection now.</summary>
    internal SmtpReply Ehlo(bool offersStartTls, bool offersAuth, bool isUnix, bool isTls) => _ehlo[(isTls ? 8 : 0) + (isUnix ? 4 : 0) + (offersStartTls ? 2 : 0) + (offersAuth ? 1 : 0)];

    internal QueueId NewId(DateTimeOffset now)
    {
        Span<byte> random = stackalloc byte[10]; // The id must be unique, not secret.
        Random.Shared.NextBytes(random);
        return QueueId.Create(now, BinaryPrimitives.ReadUInt16LittleEndian(random), BinaryPrimitives.ReadUInt64LittleEndian(random[2..]));
    }

    private void OnGuessing(GuessingDetected guessing)
    {
        bool isAddress = guessing.Object == GuessedObject.Address;
        Metrics.Guessing.Increment(isAddress ? "address" : "login");
        MailLog.Write(new MailEvent(MailEventKind.Guessing, default)
        {
            Client = isAddress ? guessing.Name : null,
            Identity = isAddress ? null : guessing.Name.Length > 0 ? $"login {guessing.Name}" : "a login that does not exist",
            Failures = guessing.Failures,
        });
        GuessingDetected?.Invoke(guessing);
    }

    private SmtpReply EhloReply(bool startTls, bool auth, bool isUnix, bool isTls)
    {
        List<string> lines = [Options.Hostname, "PIPELINING", $"SIZE {Options.MaxMessageOctets}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"];
        if (isTls)
            lines.Add("REQUIRETLS");
        if (startTls)
            lines.Add("STARTTLS");
        if (auth)
            lines.Add("AUTH " + string.Join(' ', Mechanisms));
        if (isUnix)
            lines.Add("XCLAIM");
        return new SmtpReply(250, null, string.Join('\n', lines));
    }
}
