using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Core.Notices;

/// <summary>Secrets and signatures of Standard Webhooks 1.0: <c>whsec_</c> and the key in base 64; <c>v1,</c> and HMAC-SHA256 of id, time and payload.</summary>
public static class WebhookSecret
{
    /// <summary>Octets of a key: at least and at most (as the specification has it).</summary>
    public const int MinOctets = 24;

    public const int MaxOctets = 64;

    public const string Prefix = "whsec_";

    /// <summary>The key in a secret's text; null when it is none.</summary>
    public static byte[]? Parse(string text)
    {
        if (!text.StartsWith(Prefix, StringComparison.Ordinal) || text.Length > 200)
            return null;
        ReadOnlySpan<char> encoded = text.AsSpan(Prefix.Length);
        if (encoded.ContainsAny(" \t\r\n") || !Base64.IsValid(encoded, out int length) || length is < MinOctets or > MaxOctets)
            return null;
        return Convert.FromBase64String(encoded.ToString());
    }

    public static string Write(ReadOnlySpan<byte> key) => Prefix + Convert.ToBase64String(key);

    /// <summary>The value of <c>webhook-signature</c>: one signature for each key, with blanks between them.</summary>
    /// <param name="id">As in <c>webhook-id</c>.</param>
    /// <param name="seconds">As in <c>webhook-timestamp</c>: since 1970.</param>
    public static string Sign(IEnumerable<byte[]> keys, string id, long seconds, ReadOnlySpan<byte> payload)
    {
        byte[] signed = [.. Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{seconds}.")), .. payload];
        return string.Join(' ', keys.Select(key => "v1," + Convert.ToBase64String(HMACSHA256.HashData(key, signed))));
    }
}
