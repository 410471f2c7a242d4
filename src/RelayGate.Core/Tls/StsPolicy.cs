using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Tls;

/// <summary>What a domain wants done when a check fails (RFC 8461 §5).</summary>
public enum StsMode
{
    /// <summary>Nothing is checked.</summary>
    None,

    /// <summary>Failures are reported, and mail goes all the same.</summary>
    Testing,

    /// <summary>Mail goes only to hosts that pass.</summary>
    Enforce,
}

/// <summary>The MTA-STS policy of a recipient's domain (RFC 8461 §3.2).</summary>
/// <param name="Mx">Patterns, lower case: a host name, or one with <c>*</c> for its first label.</param>
/// <param name="MaxAge">How long it may be kept; 31,557,600 s at most.</param>
public sealed record StsPolicy(StsMode Mode, ImmutableArray<string> Mx, TimeSpan MaxAge)
{
    /// <summary>Largest policy that is read, in octets (RFC 8461 §3.2 suggests it).</summary>
    public const int MaxOctets = 64 * 1024;

    /// <summary>Patterns that are kept of a policy.</summary>
    public const int MaxPatterns = 200;

    private const long MaxSeconds = 31_557_600; // RFC 8461 §3.2: about a year.
    private const int MaxIdLength = 32;

    /// <summary>The lines as TLS reports name them (RFC 8460 §4.2: policy-string).</summary>
    public ImmutableArray<string> Lines =>
    [
        "version: STSv1", $"mode: {Mode.ToString().ToLowerInvariant()}", .. Mx.Select(static m => $"mx: {m}"),
        string.Create(CultureInfo.InvariantCulture, $"max_age: {(long)MaxAge.TotalSeconds}"),
    ];

    /// <summary>Whether a host may take the domain's mail (§4.1). A wildcard stands for exactly one label.</summary>
    /// <param name="host">In lower case, without a final dot.</param>
    public bool Covers(string host)
    {
        foreach (string pattern in Mx)
        {
            if (pattern.StartsWith("*.", StringComparison.Ordinal)
                ? host.IndexOf('.') is > 0 and var dot && host.AsSpan(dot).Equals(pattern.AsSpan(1), StringComparison.Ordinal)
                : pattern == host)
                return true;
        }
        return false;
    }

    /// <summary>The id in the TXT records of <c>_mta-sts.</c>domain; null: not exactly one valid STSv1 record (§3.1), so that no policy is to be had.</summary>
    public static string? ReadId(IEnumerable<DnsRecord> records)
    {
        string? id = null;
        foreach (TxtRecord record in records.OfType<TxtRecord>())
        {
            string text = Encoding.Latin1.GetString(record.Octets.AsSpan());
            if (!text.StartsWith("v=STSv1", StringComparison.Ordinal) || (text.Length > 7 && text[7] is not (';' or ' ' or '\t')))
                continue;
            if (id is not null)
                return null;
            id = text.Split(';', StringSplitOptions.TrimEntries).Where(static f => f.StartsWith("id=", StringComparison.Ordinal)).Select(static f => f[3..].Trim()).FirstOrDefault();
            if (id is not { Length: > 0 and <= MaxIdLength } found || !found.All(char.IsAsciiLetterOrDigit))
                return null;
        }
        return id;
    }

    /// <summary>Reads the body of a policy. Unknown keys are passed over; of a key that stands twice, but for mx, the first counts.</summary>
    /// <param name="fault">Why there is none; "" otherwise.</param>
    public static StsPolicy? Parse(string text, out string fault)
    {
        string? version = null, mode = null, maxAge = null;
        var mx = ImmutableArray.CreateBuilder<string>();
        foreach (string line in text.Split('\n'))
        {
            int colon = line.IndexOf(':');
            if (colon < 0)
                continue;
            string value = line[(colon + 1)..].Trim();
            switch (line[..colon].Trim())
            {
                case "version":
                    version ??= value;
                    break;
                case "mode":
                    mode ??= value;
                    break;
                case "max_age":
                    maxAge ??= value;
                    break;
                case "mx" when mx.Count < MaxPatterns:
                    string pattern = value.ToLowerInvariant();
                    if (!Domain.TryParse(pattern.StartsWith("*.", StringComparison.Ordinal) ? pattern[2..] : pattern, out _))
                        return Fault($"'mx: {PrintableHead(value)}' is no host name", out fault);
                    mx.Add(pattern);
                    break;
            }
        }
        if (version != "STSv1")
            return Fault("version is not STSv1", out fault);
        StsMode? parsed = mode switch { "enforce" => StsMode.Enforce, "testing" => StsMode.Testing, "none" => StsMode.None, _ => null };
        if (parsed is not { } policyMode)
            return Fault("mode is not enforce, testing or none", out fault);
        if (!long.TryParse(maxAge, NumberStyles.None, CultureInfo.InvariantCulture, out long seconds))
            return Fault("max_age is missing or no number", out fault);
        if (mx.Count == 0 && policyMode != StsMode.None)
            return Fault("it names no mx", out fault);
        fault = "";
        return new StsPolicy(policyMode, mx.ToImmutable(), TimeSpan.FromSeconds(Math.Min(seconds, MaxSeconds)));
    }

    private static StsPolicy? Fault(string text, out string fault)
    {
        fault = text;
        return null;
    }

    private static string PrintableHead(string text) => new([.. text.Take(60).Select(static c => char.IsAscii(c) && !char.IsControl(c) ? c : '?')]);
}

/// <summary>What is known of a domain's MTA-STS policy.</summary>
/// <param name="Policy">Null: none, or none that could be had.</param>
/// <param name="Result">Not Ok: it has one that could not be fetched or read.</param>
/// <param name="Reason">What is wrong, one line; null: nothing.</param>
public sealed record StsFinding(StsPolicy? Policy, TlsResult Result = TlsResult.Ok, string? Reason = null)
{
    /// <summary>The domain has none.</summary>
    public static readonly StsFinding None = new(Policy: null);

    /// <summary>Whether it has one, or what it says, could not be found out: another time perhaps.</summary>
    public bool IsUnknown => Policy is null && Reason is not null;

    /// <summary>It could not be found out for no fault of the domain's that would be told of.</summary>
    public static StsFinding Unknown(string reason) => new(Policy: null, TlsResult.Ok, reason);
}

/// <summary>Gives the MTA-STS policy of a domain, from the cache or freshly fetched. Never throws for what others do.</summary>
public delegate ValueTask<StsFinding> StsLookup(string domain, CancellationToken cancellationToken);
