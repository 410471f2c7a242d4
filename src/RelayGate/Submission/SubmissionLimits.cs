namespace RelayGate.Submission;

/// <summary>Bounds of a session that are not options. Sizes in octets.</summary>
internal static class SubmissionLimits
{
    /// <summary>Longest command line with CRLF: RFC 5321 §4.5.3.1.4 says 512; SIZE, AUTH, DSN and SMTPUTF8 add to it.</summary>
    public const int CommandLine = 2048;

    /// <summary>Longest AUTH command or response line (RFC 4954 §4).</summary>
    public const int AuthLine = 12_288;

    /// <summary>Octets of an overlong line that are skipped before the session ends.</summary>
    public const int SkippedLine = 64 * 1024;

    /// <summary>Replies that wait for a flush while more pipelined commands are at hand.</summary>
    public const int UnflushedReplies = 16 * 1024;

    /// <summary>Header section of a message.</summary>
    public const int HeaderSection = 256 * 1024;

    /// <summary>Memory for the content of all sessions together; above it bodies go to the store early.</summary>
    public const long ContentMemory = 64L * 1024 * 1024;

    /// <summary>Bad commands after which each further one is answered slowly (RFC 5321 §4.2.1 leaves that to us).</summary>
    public const int ErrorsBeforeDelay = 10;

    /// <summary>Bad commands after which the session ends with 421.</summary>
    public const int ErrorsBeforeClose = 20;

    /// <summary>NOOP, RSET, VRFY, HELP, HELO, EHLO and refused MAIL, DATA and BDAT between two messages before they count as bad commands.</summary>
    public const int IdleCommands = 200;

    /// <summary>Recipients and commands that a refusal has made pointless, between two messages, before they count as bad commands.</summary>
    public const int SpareCommands = 10_000;

    /// <summary>Recipients over the bound of one message, between two messages, before they count as <see cref="SpareCommands"/>.</summary>
    public const int ExcessRecipients = 100_000;

    /// <summary>Failed logins of one session.</summary>
    public const int FailedLogins = 3;

    /// <summary>Transactions of one session.</summary>
    public const int Transactions = 1_000_000;

    public static readonly TimeSpan ErrorDelay = TimeSpan.FromSeconds(1);

    /// <summary>From 354 to the final dot, and for all BDAT chunks of one message together.</summary>
    public static readonly TimeSpan MailData = TimeSpan.FromMinutes(30);

    public static readonly TimeSpan TlsHandshake = TimeSpan.FromSeconds(10);

    /// <summary>For mail data under way when the gateway is told to stop.</summary>
    public static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(10);

    /// <summary>For the last reply before the connection is closed.</summary>
    public static readonly TimeSpan LastFlush = TimeSpan.FromSeconds(5);

    /// <summary>How long the writer may leave a message waiting before 451 4.3.2.</summary>
    public static readonly TimeSpan Offer = TimeSpan.FromMinutes(2);
}
