namespace RelayGate.Sendmail;

internal enum Mode
{
    /// <summary>Send the message on standard input (-bm).</summary>
    Deliver,

    /// <summary>SMTP on standard input and output (-bs).</summary>
    Smtp,

    /// <summary>Ask what would become of each recipient, send nothing (-bv, -bt).</summary>
    Verify,

    /// <summary>-bp, mailq.</summary>
    ListQueue,

    /// <summary>-q, -qI…: try now what waits.</summary>
    RunQueue,

    /// <summary>-bi, -I, newaliases: there are no aliases.</summary>
    NewAliases,

    /// <summary>-bd and the like.</summary>
    Daemon,
}

/// <summary>What the command line says.</summary>
internal sealed class Invocation
{
    private const int MaxEnvelopeId = 100; // RFC 3461 §4.4.

    public Mode Mode { get; set; } = Mode.Deliver;

    /// <summary>-t: recipients are taken from the header section, and added to those of the command line as Postfix does.</summary>
    public bool RecipientsFromHeader { get; set; }

    /// <summary>-i, -oi: a line with only a dot does not end the message.</summary>
    public bool IgnoresDots { get; set; }

    public bool IsVerbose { get; set; }

    /// <summary>-f or -r as given; null when not given.</summary>
    public string? ReversePath { get; set; }

    /// <summary>What follows -q: empty for everything, <c>IREF</c> for one message.</summary>
    public string QueueSelection { get; set; } = "";

    /// <summary>-F: the author's name, for a From field that has to be added.</summary>
    public string? FullName { get; set; }

    /// <summary>-N: value for NOTIFY (RFC 3461 §4.1).</summary>
    public string? Notify { get; set; }

    /// <summary>-R: value for RET.</summary>
    public string? Return { get; set; }

    /// <summary>-V: envelope id as xtext (RFC 3461 §4.4).</summary>
    public string? EnvelopeId { get; set; }

    public List<string> Recipients { get; } = [];

    /// <summary>Reads the arguments of sendmail(1) as getopt would: flags may be joined, and options may stand between recipients until "--".</summary>
    /// <param name="name">Name by which the program was called.</param>
    /// <exception cref="SendmailException">64: an option is unknown or its value wrong.</exception>
    /// <remarks>Files named by the caller (-C, -X, -O…) are never opened.</remarks>
    public static Invocation Read(string name, IReadOnlyList<string> arguments)
    {
        var invocation = new Invocation
        {
            Mode = name switch
            {
                "mailq" => Mode.ListQueue,
                "newaliases" => Mode.NewAliases,
                _ => Mode.Deliver,
            },
        };
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            if (argument == "--")
            {
                invocation.Recipients.AddRange(arguments.Skip(i + 1));
                break;
            }
            if (argument.Length < 2 || argument[0] != '-')
                invocation.Recipients.Add(argument);
            else
                invocation.ReadFlags(argument, arguments, ref i);
        }
        return invocation;
    }

    private void ReadFlags(string argument, IReadOnlyList<string> arguments, ref int index)
    {
        for (int i = 1; i < argument.Length; i++)
        {
            char flag = argument[i];
            string attached = argument[(i + 1)..];
            switch (flag)
            {
                case 't':
                    RecipientsFromHeader = true;
                    break;
                case 'i':
                    IgnoresDots = true;
                    break;
                case 'v':
                    IsVerbose = true;
                    break;
                case 'I':
                    Mode = Mode.NewAliases;
                    break;
                case 'c' or 'G' or 'm' or 'n' or 's' or 'U' or 'x' or 'E':
                    break;
                case 'q': // The value, if any, is attached.
                    SetQueueRun(attached);
                    return;
                case 'd' or 'M':
                    return;
                case 'A' or 'B' or 'C' or 'D' or 'F' or 'L' or 'N' or 'O' or 'R' or 'V' or 'X' or 'b' or 'e' or 'f' or 'h' or 'o' or 'p' or 'r':
                    if (attached.Length == 0 && ++index >= arguments.Count)
                        throw new SendmailException(ExitCode.Usage, $"option -{flag} needs a value");
                    SetValue(flag, attached.Length > 0 ? attached : arguments[index]);
                    return;
                default:
                    throw new SendmailException(ExitCode.Usage, $"unknown option -{flag} (in {argument})");
            }
        }
    }

    private void SetValue(char flag, string value)
    {
        switch (flag)
        {
            case 'f' or 'r':
                ReversePath = value;
                break;
            case 'F':
                FullName = value;
                break;
            case 'b':
                Mode = ModeOf(value);
                break;
            case 'o':
                IgnoresDots |= value is "i" or "I";
                break;
            case 'O':
                IgnoresDots |= value.StartsWith("IgnoreDots", StringComparison.OrdinalIgnoreCase) && !value.EndsWith("false", StringComparison.OrdinalIgnoreCase);
                break;
            case 'N':
                Notify = NotifyOf(value);
                break;
            case 'R':
                Return = value.ToUpperInvariant() is "FULL" or "HDRS"
                    ? value.ToUpperInvariant()
                    : throw new SendmailException(ExitCode.Usage, "option -R takes full or hdrs");
                break;
            case 'V':
                EnvelopeId = EnvelopeIdOf(value);
                break;
        }
    }

    private static Mode ModeOf(string value) => value switch
    {
        "m" or "a" => Mode.Deliver, // -ba: CRLF mode of old; line ends are made right anyway.
        "s" => Mode.Smtp,
        "p" => Mode.ListQueue,
        "v" or "t" => Mode.Verify,
        "i" => Mode.NewAliases,
        "d" or "D" or "l" => Mode.Daemon,
        _ => throw new SendmailException(ExitCode.Usage, $"unknown mode -b{value}"),
    };

    private void SetQueueRun(string value)
    {
        if (Mode != Mode.Deliver)
            return; // "-bd -q30m".
        Mode = value.Length > 0 && char.IsAsciiDigit(value[0]) ? Mode.Daemon : Mode.RunQueue;
        QueueSelection = value;
    }

    private static string EnvelopeIdOf(string value)
    {
        string xtext = string.Concat(value.Select(static c => c is '+' or '=' ? $"+{(int)c:X2}" : c.ToString())); // RFC 3461 §4.
        return xtext.Length is > 0 and <= MaxEnvelopeId && xtext.All(static c => c is > ' ' and < '\x7f')
            ? xtext
            : throw new SendmailException(ExitCode.Usage, $"option -V takes an envelope id of up to {MaxEnvelopeId} printable ASCII characters, + and = counted three times");
    }

    private static string NotifyOf(string value)
    {
        string[] words = value.ToUpperInvariant().Split(',');
        bool valid = words is ["NEVER"] || words.All(static w => w is "SUCCESS" or "FAILURE" or "DELAY");
        return valid ? string.Join(',', words.Distinct()) : throw new SendmailException(ExitCode.Usage, "option -N takes never, or a list of success, failure and delay");
    }
}
