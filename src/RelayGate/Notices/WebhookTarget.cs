using System.Net;
using RelayGate.Accounts;
using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>Where webhooks may lead: by TLS to addresses of the internet, unless more is allowed.</summary>
internal static class WebhookTarget
{
    private const int MaxUrl = 2000;

    /// <summary>Reads the URL of a new webhook.</summary>
    /// <exception cref="AdminException">It leads nowhere that may be dialled, as far as that can be seen now.</exception>
    public static Uri Parse(string text, bool allowsHttp, bool allowsPrivate)
    {
        if (text.Length > MaxUrl || !Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.Scheme is not ("https" or "http") || url.Host.Length == 0)
            throw AdminException.Invalid($"'{AccountNames.Printable(text)}' is no URL for a webhook; write it like https://hooks.example.net/relaygate");
        if (url.UserInfo.Length > 0)
            throw AdminException.Invalid("a URL with user and password is not taken: deliveries are signed with the webhook's secret");
        if (url.Scheme == "http" && !allowsHttp && !allowsPrivate)
            throw AdminException.Invalid("http shows notices to everybody on the way: use https, or add --allow-http");
        if (IPAddress.TryParse(url.Host.Trim('[', ']'), out IPAddress? address) && WhyNot(url, allowsHttp, allowsPrivate, address) is { } why)
            throw AdminException.Invalid(why);
        return url;
    }

    /// <summary>Scheme, host and port: the rest may be a secret.</summary>
    public static string WithoutPath(string url) => new Uri(url) is { PathAndQuery: "/" } all ? all.AbsoluteUri : $"{new Uri(url).GetLeftPart(UriPartial.Authority)}/…";

    /// <returns>Why the address may not be dialled, with what would allow it; null: it may.</returns>
    public static string? WhyNot(WebhookJob job, IPAddress address) => WhyNot(job.Url, job.AllowsHttp, job.AllowsPrivate, address);

    private static string? WhyNot(Uri url, bool allowsHttp, bool allowsPrivate, IPAddress address)
    {
        string? what = PublicAddress.WhyNot(address);
        string where = url.Host.Trim('[', ']') == address.ToString() ? $"{address} is" : $"{url.Host} leads to {address}, which is";
        if (what is not null && !allowsPrivate)
            return $"{where} {what}: add the webhook with --allow-private if that is meant";
        if (what is null && url.Scheme == "http" && !allowsHttp)
            return $"{where} on the internet: use https, or add the webhook with --allow-http";
        return null;
    }
}
