using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>How the fake next hop is spoken to: what it offers decides which commands and which groups of them it sees.</summary>
[Flags]
public enum HopMode
{
    /// <summary>No extension: command by command, DATA.</summary>
    Plain = 1,

    /// <summary>MAIL, RCPT and DATA in one group.</summary>
    Pipelined = 2,

    /// <summary>MAIL, RCPT and the content by BDAT in one group, once it has shown that it keeps step.</summary>
    Chunked = 4,

    /// <summary>As <see cref="Pipelined"/>, inside TLS.</summary>
    Tls = 8,

    /// <summary>As <see cref="Chunked"/>, but spoken to for the first time.</summary>
    ChunkedFirst = 16,

    WithData = Plain | Pipelined | Tls | ChunkedFirst,
    All = WithData | Chunked,
}

/// <summary>One way in which a next hop misbehaves, and what must come of it.</summary>
/// <param name="Expected">
/// A word for each recipient, or one for all: <c>ok</c>, the status of a deferral or of a failure (<c>4.4.2</c>, <c>5.1.1</c>), or its class alone (<c>4</c>).
/// </param>
internal sealed record Misbehaviour(string Name, string Expected, Func<HopEvent, HopAction?> Script)
{
    public HopMode Modes { get; init; } = HopMode.All;

    /// <summary>It costs a time limit: the test moves the clock once the script has acted.</summary>
    public bool Waits { get; init; }

    public string Body { get; init; } = "Hello\r\n";

    public IReadOnlyList<string> Recipients { get; init; } = ["a@dest.test", "b@dest.test", "c@dest.test"];

    /// <summary>Offered besides what the mode offers.</summary>
    public IReadOnlyList<string> Offers { get; init; } = [];

    /// <summary>Commands it does not know although it may offer them.</summary>
    public IReadOnlyList<string> Lacks { get; init; } = [];

    /// <summary>Most octets of one read.</summary>
    public int ReadOctets { get; init; } = 64 * 1024;

    public bool OctetByOctet { get; init; }

    /// <summary>Copies of the message that the next hop has taken in the end; null: it may or may not have kept one when its reply was unreadable.</summary>
    public int? Copies { get; init; } = -1;

    /// <summary>What comes of the next message, when the next hop behaves again.</summary>
    public string Afterwards { get; init; } = "ok";

    /// <summary>Copies, where the table says nothing: one if somebody has it, else none.</summary>
    public int? CopiesDue => Copies == -1 ? Expected.Contains("ok", StringComparison.Ordinal) ? 1 : 0 : Copies;

    public FakeNextHop Play(HopMode mode)
    {
        var hop = new FakeNextHop { Script = Script, ReadOctets = ReadOctets, OctetByOctet = OctetByOctet };
        if (mode == HopMode.Plain)
            hop.Extensions = [];
        if (mode is HopMode.Chunked or HopMode.ChunkedFirst)
            hop.Extensions.Add("CHUNKING");
        if (mode == HopMode.Tls)
            hop.Extensions.Add("STARTTLS");
        foreach (string offer in Offers)
            hop.Extensions.Add(offer);
        hop.Lacks.UnionWith(Lacks);
        return hop;
    }

    /// <summary>Whether an outcome is what the table says.</summary>
    public static bool Fits(string expected, OutcomeKind kind, string status) => expected[0] switch
    {
        'o' => kind == OutcomeKind.Delivered,
        '4' => kind == OutcomeKind.Deferred && status.StartsWith(expected, StringComparison.Ordinal),
        _ => kind == OutcomeKind.Failed && status.StartsWith(expected, StringComparison.Ordinal),
    };
}
