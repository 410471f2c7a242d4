using System.Collections.Immutable;

namespace RelayGate.Core.Dns;

/// <summary>What came of a question.</summary>
public enum DnsOutcome
{
    /// <summary>There are records of the type asked for.</summary>
    Found,

    /// <summary>The name exists and has none of that type.</summary>
    NoData,

    /// <summary>The name does not exist (NXDOMAIN).</summary>
    NoName,

    /// <summary>Nobody could say: SERVFAIL, refusal, silence, nonsense. Another time perhaps.</summary>
    Failed,
}

/// <summary>The answer to one question, aliases followed.</summary>
/// <param name="Records">Of the type asked for; empty unless <see cref="DnsOutcome.Found"/>.</param>
/// <param name="Name">The name at the end of the aliases.</param>
/// <param name="Lifetime">How long it may be kept.</param>
/// <param name="IsAuthentic">AD was set; the resolver clears it where it trusts no server.</param>
/// <param name="IsPartial">The response ends at an alias and says nothing of its target, which is to be asked for.</param>
public sealed record DnsAnswer(
    DnsOutcome Outcome, ImmutableArray<DnsRecord> Records, string Name, TimeSpan Lifetime, bool IsAuthentic, bool IsPartial = false)
{
    /// <summary>Aliases followed for one question. RFC 1034 §3.6.2 asks for chains; their length is ours to bound.</summary>
    public const int MaxAliases = 8;

    private const uint MaxSeconds = 86_400; // RFC 8767 §4 suggests a cap of days; one day is enough here.
    private const uint MaxNegativeSeconds = 900; // RFC 2308 §5 allows 1 to 3 hours; mail should not wait that long for a new MX.
    private const uint UnknownNegativeSeconds = 60; // A negative answer without SOA should not be kept (§5); a minute spares the resolver.
    private const uint FailureSeconds = 10; // RFC 2308 §7: at most 5 minutes.

    /// <summary>Of a failure: what the server did, in words that follow its name, and of the resolver's answers a whole sentence; null otherwise.</summary>
    public string? Fault { get; init; }

    /// <summary>About what it costs to keep.</summary>
    public int Octets => Records.Sum(static r => 100 + r switch { TxtRecord text => text.Octets.Length, TlsaRecord tlsa => tlsa.Data.Length, _ => 0 });

    public static DnsAnswer Failure(string name, string fault) =>
        new(DnsOutcome.Failed, [], name, TimeSpan.FromSeconds(FailureSeconds), false) { Fault = fault };

    /// <summary>Reads the answer to a question out of a response that is known to belong to it.</summary>
    /// <remarks>Only records that lie on the chain of aliases from the name asked for are believed.</remarks>
    public static DnsAnswer Read(DnsQuestion question, DnsMessage message)
    {
        if (message.Code is not (DnsResponseCode.NoError or DnsResponseCode.NameError))
            return Failure(question.Name, $"answers {Word(message.Code)} about {question}");
        string name = question.Name;
        uint seconds = MaxSeconds;
        for (int aliases = 0; ; aliases++)
        {
            ImmutableArray<DnsRecord> found = [.. message.Answers.Where(r => r.Type == question.Type && r.Name == name)];
            if (found.Length > 0)
                return new DnsAnswer(DnsOutcome.Found, found, name, TimeSpan.FromSeconds(Math.Min(seconds, found.Min(r => r.Ttl))), message.IsAuthentic);
            NameRecord? alias = message.Answers.OfType<NameRecord>().FirstOrDefault(r => r.Type == DnsType.Cname && r.Name == name);
            if (alias is null)
                break;
            if (aliases == MaxAliases)
                return Failure(question.Name, $"gives more than {MaxAliases} aliases for {question}");
            seconds = Math.Min(seconds, alias.Ttl);
            name = alias.Target;
        }
        SoaRecord? soa = message.Authority.OfType<SoaRecord>().FirstOrDefault();
        if (soa is null && name == question.Name && message.Code == DnsResponseCode.NoError && message.Authority.Any(static r => r.Type == DnsType.Ns))
            return Failure(question.Name, $"refers us to other servers about {question}"); // RFC 2308 §2.2: no statement that there is no such record.
        uint negative = soa is null ? UnknownNegativeSeconds : Math.Min(Math.Min(soa.Ttl, soa.Minimum), MaxNegativeSeconds);
        return new DnsAnswer(
            message.Code == DnsResponseCode.NameError ? DnsOutcome.NoName : DnsOutcome.NoData, [], name,
            TimeSpan.FromSeconds(Math.Min(seconds, negative)), message.IsAuthentic,
            IsPartial: soa is null && name != question.Name && message.Code == DnsResponseCode.NoError);
    }

    /// <summary>As administrators know the codes from dig.</summary>
    private static string Word(DnsResponseCode code) => code switch
    {
        DnsResponseCode.FormatError => "FORMERR",
        DnsResponseCode.ServerFailure => "SERVFAIL",
        DnsResponseCode.NotImplemented => "NOTIMP",
        DnsResponseCode.Refused => "REFUSED",
        _ => $"code {(ushort)code}",
    };
}
