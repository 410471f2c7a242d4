using System.Collections.Immutable;
using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Dns;

namespace RelayGate.Delivery;

/// <summary>
/// Says for each host what TLS with it must prove: what is configured, what its TLSA records (DANE, RFC 7672), else the recipient domain's MTA-STS
/// policy (RFC 8461) ask for, and what the message itself does (RFC 8689).
/// </summary>
/// <remarks>
/// A domain can only ask for more than is configured. Where both are there DANE wins (RFC 8461 §2). Nothing here ever lowers what was asked for
/// because a lookup failed: a host whose TLSA records cannot be looked up is passed over.
/// </remarks>
/// <param name="sts">Null: MTA-STS is not looked for.</param>
public sealed class TlsPlanner(DeliveryOptions options, DnsResolver dns, TimeProvider time, StsLookup? sts = null)
{
    private const string CryptographicFailure = "4.7.5";

    /// <summary>RFC 8689 §7: a host does not offer REQUIRETLS.</summary>
    private const string RequireTlsNeeded = "5.7.30";

    /// <summary>RFC 5248: there is no session, or can be none, that TLS protects as the message requires.</summary>
    internal const string EncryptionNeeded = "5.7.10";

    /// <summary>Hears of each session and of what kept one from being, for TLS reports.</summary>
    public TlsObserver? Observer { get; init; }

    /// <summary>Tells the observer what came of a decision: of the session it led to, or why there was none.</summary>
    internal void Observe(NextHopPlan plan, NextHopAddress address, in TlsDecision decision, TlsOutcome outcome, IPAddress? local)
    {
        if (Observer is null || plan.Domain is null || decision.Published is null)
            return;
        bool isOfHost = outcome.Result is not (TlsResult.StsPolicyFetchError or TlsResult.StsPolicyInvalid or TlsResult.StsWebPkiInvalid);
        IPAddress? remote = local is null ? null : address.EndPoint.Address;
        Observer(new TlsObservation(
            time.GetUtcNow(), plan.Domain, decision.Published, outcome.Result, outcome.Reason, isOfHost ? address.Host : null, isOfHost ? local : null, isOfHost ? remote : null));
    }

    internal ValueTask<TlsDecision> DecideAsync(NextHopPlan plan, NextHopAddress address, TlsDemand demand, CancellationToken cancellationToken)
    {
        TlsMode floor = address.IsSmarthost ? address.Tls.Mode : plan.Tls ?? ProviderMode(address.Provider) ?? options.Tls.Policy;
        bool isOptional = !demand.IsRequired && floor < TlsMode.Dane && (floor == TlsMode.None || demand.IgnoresPolicies || address.IsSmarthost || plan.Domain is null);
        if (isOptional)
            return new(new TlsDecision(Configured(address, floor), plan.Domain is { } domain && !address.IsSmarthost && !demand.IsReport ? PublishedTlsPolicy.NotFound(domain) : null));
        return DecideByDomainAsync(plan, address, floor, demand.IsRequired, demand.IgnoresPolicies, cancellationToken);
    }

    private async ValueTask<TlsDecision> DecideByDomainAsync(
        NextHopPlan plan, NextHopAddress address, TlsMode floor, bool isRequired, bool ignoresPolicies, CancellationToken cancellationToken)
    {
        PublishedTlsPolicy? published = plan.Domain is { } domain && !address.IsSmarthost ? PublishedTlsPolicy.NotFound(domain) : null;
        TlsDecision decision = new(Configured(address, floor == TlsMode.Dane ? TlsMode.Encrypt : floor), published);
        bool wantsDane = floor == TlsMode.Dane || (options.Tls.Dane && (plan.Domain is not null || isRequired));
        TlsDecision? dane = wantsDane && dns.IsTrusted && (plan.IsSecure || address.IsSmarthost) ? await DaneAsync(plan, address, cancellationToken) : null;
        if (dane is { Refusal: not null } or { Policy.Mode: TlsMode.Dane })
            return dane.Value;
        if (floor == TlsMode.Dane)
            return Refuse(dane ?? decision, dane?.Flaw ?? TlsResult.DaneRequired, $"{address.Host} has no usable TLSA record that DNSSEC protects, and DANE is configured for it");
        if (dane is { } unusable) // RFC 7672 §2.2: TLS all the same, and no less than without them.
            decision = unusable with { Policy = Configured(address, floor > TlsMode.Encrypt ? floor : TlsMode.Encrypt) };
        StsFinding finding = StsFinding.None;
        if (published is not null && options.Tls.MtaSts && sts is not null && !ignoresPolicies)
        {
            finding = await sts(plan.Domain!, cancellationToken);
            decision = ApplySts(finding, plan.Domain!, address, isRequired, decision);
        }
        return isRequired && decision.Refusal is null && !decision.Policy.IsVerified ? Require(plan, address, decision, finding) : decision;
    }

    /// <summary>Without a policy of the domain: what is configured for this host.</summary>
    private TlsPolicy Configured(NextHopAddress address, TlsMode mode)
    {
        if (address.IsSmarthost && address.Tls.Mode == mode)
            return address.Tls;
        if (mode == TlsMode.May && options.Tls.MinimumVersion == TlsVersion.Tls12)
            return TlsPolicy.May;
        string name = address.Host.StartsWith('[') ? address.EndPoint.Address.ToString() : address.Host;
        return new TlsPolicy(mode) { Minimum = options.Tls.MinimumVersion, Names = mode >= TlsMode.Verify ? [name] : [] };
    }

    private TlsMode? ProviderMode(string provider) => provider.Length > 0 && options.Providers.TryGetValue(provider, out ProviderOptions? own) ? own.Tls : null;

    /// <summary>REQUIRETLS without a policy that verifies: the name of the host must have come by a safe way, and its certificate is verified (RFC 8689 §4.2.1, §8.2).</summary>
    private TlsDecision Require(NextHopPlan plan, NextHopAddress address, TlsDecision decision, StsFinding finding)
    {
        if (address.IsSmarthost || plan.IsSecure || plan.Domain is null)
            return decision with { Policy = Configured(address, TlsMode.Verify) };
        if (finding.Result == TlsResult.Ok)
            decision = decision with { Published = null, Flaw = TlsResult.ValidationFailure }; // Nothing the domain has published is at fault: it is not told.
        if (finding.IsUnknown)
            return Refuse(decision, decision.Flaw, $"The message requires TLS, and whether MTA-STS protects the MX hosts of {plan.Domain} cannot be said now: {finding.Reason}");
        string reason = $"The message requires TLS, and neither DNSSEC nor MTA-STS protects the MX hosts of {plan.Domain}";
        return Refuse(decision, decision.Flaw, reason) with { Refusal = RequirementNotMet(reason, EncryptionNeeded) };
    }

    /// <summary>A host cannot do what REQUIRETLS asks for; the message fails when none can.</summary>
    internal static RecipientOutcome RequirementNotMet(string text, string status = RequireTlsNeeded) =>
        RecipientOutcome.Local(OutcomeKind.NextHost, status, text) with { FailsAtTheEnd = true };

    private static TlsDecision ApplySts(StsFinding finding, string domain, NextHopAddress address, bool isRequired, TlsDecision decision)
    {
        if (finding.Policy is not { } policy)
            return finding.Result == TlsResult.Ok ? decision : decision with { Published = new(TlsPolicyType.Sts, domain, [], []), Flaw = finding.Result, Reason = finding.Reason };
        if (policy.Mode == StsMode.None)
            return decision;
        decision = decision with { Published = new PublishedTlsPolicy(TlsPolicyType.Sts, domain, policy.Lines, policy.Mx), Flaw = TlsResult.Ok, Reason = null };
        bool isEnforced = policy.Mode == StsMode.Enforce || isRequired;
        if (!policy.Covers(address.Host))
        {
            string reason = $"{address.Host} is not among the hosts that the MTA-STS policy of {domain} names";
            return isEnforced ? Refuse(decision, TlsResult.ValidationFailure, reason) : decision with { Flaw = TlsResult.ValidationFailure, Reason = reason };
        }
        if (!isEnforced && decision.Policy.Mode >= TlsMode.Encrypt)
            return decision; // What is configured, or unusable TLSA records ask for, is enforced, and that is more than telling.
        return decision with { Policy = new TlsPolicy(TlsMode.Sts) { Minimum = decision.Policy.Minimum, Names = [address.Host], IsEnforced = isEnforced } };
    }

    /// <summary>Looks for TLSA records (RFC 7672 §2.2).</summary>
    /// <returns>Null: the host has none that DNSSEC protects. Encrypt: it has some, and none is usable.</returns>
    private async ValueTask<TlsDecision?> DaneAsync(NextHopPlan plan, NextHopAddress address, CancellationToken cancellationToken)
    {
        if (address.Host.StartsWith('['))
            return null;
        // §2.1.3: where addresses are insecure no TLSA record is asked for, except at an alias whose own record is secure.
        if (address.IsSecure && await DaneAtAsync(plan, address, address.AliasedTo ?? address.Host, cancellationToken) is { } there)
            return there;
        if (address.AliasedTo is null)
            return null;
        DnsAnswer alias = await dns.ResolveAsync(new DnsQuestion(address.Host, DnsType.Cname), cancellationToken);
        if (alias.Outcome == DnsOutcome.Failed)
            return CannotSay(address, address.Host, alias);
        return alias is { IsAuthentic: true, Outcome: DnsOutcome.Found } ? await DaneAtAsync(plan, address, address.Host, cancellationToken) : null;
    }

    /// <summary>§2.1.2: a host that might have records is not used without them.</summary>
    private TlsDecision CannotSay(NextHopAddress address, string name, DnsAnswer failure) =>
        Refuse(Unverified(name), TlsResult.DnssecInvalid, $"{failure.Fault}: whether {address.Host} has TLSA records cannot be said");

    private TlsDecision Unverified(string name) => new(new TlsPolicy(TlsMode.Encrypt) { Minimum = options.Tls.MinimumVersion }, new PublishedTlsPolicy(TlsPolicyType.Tlsa, name, [], []));

    /// <param name="name">The TLSA base domain.</param>
    private async ValueTask<TlsDecision?> DaneAtAsync(NextHopPlan plan, NextHopAddress address, string name, CancellationToken cancellationToken)
    {
        var question = new DnsQuestion($"_{address.EndPoint.Port}._tcp.{name}", DnsType.Tlsa);
        DnsAnswer answer = await dns.ResolveAsync(question, cancellationToken);
        if (answer.Outcome == DnsOutcome.Failed)
            return CannotSay(address, name, answer);
        if (answer.Outcome != DnsOutcome.Found || !answer.IsAuthentic)
            return null;
        ImmutableArray<TlsaRecord> records = [.. answer.Records.OfType<TlsaRecord>()];
        var published = new PublishedTlsPolicy(TlsPolicyType.Tlsa, name, [.. records.Select(static r => r.ToString())], []);
        ImmutableArray<TlsaRecord> usable =
            [.. records.Where(TlsaMatch.IsUsable).OrderBy(static r => r.Usage).ThenBy(static r => r.Selector).ThenBy(static r => r.Matching).ThenBy(static r => Convert.ToHexString(r.Data.AsSpan()))];
        if (usable.IsEmpty)
            return Unverified(name) with { Published = published, Flaw = TlsResult.TlsaInvalid, Reason = $"None of the TLSA records of {address.Host} can be used" };
        ImmutableArray<string> names = usable.Any(static r => r.Usage == TlsaMatch.TrustAnchor)
            ? [.. new[] { name, address.Host, plan.Domain }.OfType<string>().Distinct(StringComparer.Ordinal)] // §3.2.2
            : [name];
        return new TlsDecision(new TlsPolicy(TlsMode.Dane) { Minimum = options.Tls.MinimumVersion, Names = names, Tlsa = usable }, published);
    }

    private static TlsDecision Refuse(TlsDecision decision, TlsResult result, string reason) => decision with
    {
        Refusal = RecipientOutcome.Local(OutcomeKind.NextHost, CryptographicFailure, reason),
        Flaw = result,
        Reason = reason,
    };
}
