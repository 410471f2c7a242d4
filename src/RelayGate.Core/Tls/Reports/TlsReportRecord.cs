using System.Collections.Immutable;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Tls.Reports;

/// <summary>Reads where a domain wants its reports: the TXT record at <c>_smtp._tls.</c> of it (RFC 8460 §3).</summary>
public static class TlsReportRecord
{
    /// <summary>Addresses that are served at most; a record may name any number.</summary>
    public const int MaxTargets = 4;

    private const int MaxUri = 1000;

    public static string NameOf(string domain) => $"_smtp._tls.{domain}";

    /// <param name="texts">The TXT records, each in one piece.</param>
    /// <returns>mailto: and https: URIs; empty where there is no record, more than one, or none that can be used.</returns>
    public static ImmutableArray<Uri> Read(IEnumerable<string> texts)
    {
        // Other records are discarded; more than one that is left means none.
        string[] records = [.. texts.Where(static t => t.StartsWith("v=TLSRPTv1", StringComparison.Ordinal) && t.AsSpan(10).TrimStart(" \t") is [';', ..])];
        if (records.Length != 1)
            return [];
        var targets = ImmutableArray.CreateBuilder<Uri>();
        foreach (string field in records[0].Split(';').Skip(1))
        {
            int equals = field.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || field[..equals].Trim() != "rua")
                continue;
            foreach (string uri in field[(equals + 1)..].Split(','))
            {
                if (targets.Count < MaxTargets && Target(uri.Trim()) is { } target && !targets.Contains(target))
                    targets.Add(target);
            }
            break;
        }
        return targets.ToImmutable();
    }

    /// <summary>The address of a mailto: URI; null: it is another URI, or not an address that can be written to.</summary>
    public static MailboxAddress? AddressOf(Uri target)
    {
        if (target.Scheme != Uri.UriSchemeMailto)
            return null;
        string text = target.OriginalString["mailto:".Length..];
        int question = text.IndexOf('?', StringComparison.Ordinal);
        return MailboxAddress.TryParse(Uri.UnescapeDataString(question < 0 ? text : text[..question]), out MailboxAddress? address) ? address : null;
    }

    private static Uri? Target(string text) =>
        text.Length <= MaxUri && Uri.TryCreate(text, UriKind.Absolute, out Uri? uri)
        && (uri.Scheme == Uri.UriSchemeMailto ? AddressOf(uri) is not null : uri is { Scheme: "https", UserInfo.Length: 0 } && IsHost(uri))
            ? uri : null;

    /// <summary>A URI may name hosts that no client can ask, such as one of an invisible character alone.</summary>
    private static bool IsHost(Uri uri) => uri.HostNameType is UriHostNameType.IPv4 or UriHostNameType.IPv6 || Domain.TryParse(uri.Host, out _);
}
