using System.Collections.Immutable;

namespace RelayGate.Core.Dns;

/// <summary>What the MX records of a domain say.</summary>
public enum MxOutcome
{
    /// <summary>Hosts to try, in order.</summary>
    Hosts,

    /// <summary>The domain takes no mail (RFC 7505).</summary>
    NullMx,
}

/// <param name="Names">Host names in the order to try them.</param>
/// <param name="FirstEquals">How many of them, from the first on, have the lowest preference value.</param>
/// <param name="Site">The hosts by preference and name: the same for all domains that are served alike, whatever the order of this time.</param>
public sealed record MxHosts(MxOutcome Outcome, ImmutableArray<string> Names, int FirstEquals, string Site);

/// <summary>Orders the hosts that take mail for a domain (RFC 5321 §5.1). Pure: the random number comes in.</summary>
public static class MxSelection
{
    /// <summary>Hosts taken of a record set of whatever size.</summary>
    public const int MaxHosts = 16;

    /// <param name="domain">Where the MX records were asked for, aliases followed.</param>
    /// <param name="records">Empty: the domain itself is the host, its implicit MX.</param>
    /// <param name="random">Shuffles hosts of equal preference, so that load spreads over them.</param>
    public static MxHosts Order(string domain, ImmutableArray<MxRecord> records, ulong random)
    {
        if (records.IsEmpty)
            return new MxHosts(MxOutcome.Hosts, [domain], 1, domain);
        ImmutableArray<MxRecord> named = [.. records.Where(r => r.Exchange.Length > 0)];
        if (named.IsEmpty) // RFC 7505 §3: a single "."; beside others it is a mistake and is passed over.
            return new MxHosts(MxOutcome.NullMx, [], 0, "");
        IEnumerable<string> ordered = named
            .Select((r, i) => (r.Exchange, r.Preference, Order: Mix(random + (ulong)i)))
            .OrderBy(r => r.Preference).ThenBy(r => r.Order)
            .Select(r => r.Exchange);
        ImmutableArray<string> names = [.. ordered.Distinct().Take(MaxHosts)];
        int lowest = named.Min(r => r.Preference);
        int firstEquals = named.Where(r => r.Preference == lowest).Select(r => r.Exchange).Distinct().Count();
        string site = string.Join(' ', named.OrderBy(r => r.Preference).ThenBy(r => r.Exchange, StringComparer.Ordinal).Select(r => r.Exchange).Distinct().Take(MaxHosts));
        return new MxHosts(MxOutcome.Hosts, names, Math.Min(firstEquals, names.Length), site);
    }

    /// <summary>SplitMix64: turns one number into as many as needed.</summary>
    private static ulong Mix(ulong value)
    {
        value += 0x9e3779b97f4a7c15;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }
}
