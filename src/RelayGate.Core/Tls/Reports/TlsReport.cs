using System.Collections.Immutable;

namespace RelayGate.Core.Tls.Reports;

/// <summary>A TLS report of one UTC day about one domain (RFC 8460 §4).</summary>
/// <param name="Organization">organization-name: who reports.</param>
/// <param name="Day">The day, UTC.</param>
/// <param name="Contact">contact-info; null: left out.</param>
/// <param name="Id">report-id: the same for each delivery of this report.</param>
public sealed record TlsReport(string Organization, DateOnly Day, string Domain, string? Contact, string Id, ImmutableArray<TlsReportPolicy> Policies)
{
    /// <summary>Its file's name (§5.1): <c>relay.example.net!shop.test!begin!end!id.json.gz</c>, times in seconds since 1970.</summary>
    public string FileName => $"{Organization}!{Domain}!{Begin.ToUnixTimeSeconds()}!{End.ToUnixTimeSeconds()}!{Id}.json.gz";

    public DateTimeOffset Begin => new(Day.ToDateTime(TimeOnly.MinValue), TimeSpan.Zero);

    /// <summary>The last second of the day.</summary>
    public DateTimeOffset End => Begin.AddDays(1).AddSeconds(-1);

    public long Successes => Policies.Sum(static p => p.Successes);

    public long Failures => Policies.Sum(static p => p.Failures);
}

/// <summary>What was found of a policy in a day.</summary>
/// <param name="Failures">May be more than <paramref name="Details"/> tell of: these are bounded.</param>
public sealed record TlsReportPolicy(PublishedTlsPolicy Policy, long Successes, long Failures, ImmutableArray<TlsFailure> Details);

/// <summary>Failures that are alike (§4.4).</summary>
/// <param name="Result">A result type of §4.3.</param>
/// <param name="MxHost">"" where none is concerned, as with the other texts.</param>
public sealed record TlsFailure(string Result, string MxHost, string Local, string Remote, string Reason, long Count);
