using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace RelayGate.Core.Tests.Dkim;

/// <summary>Verifies rsa-sha256 relaxed/relaxed as RFC 6376 says it, step by step and by regular expressions; shares no code with the signer.</summary>
internal static class SlowVerifier
{
    public static byte[] RelaxedBody(byte[] body)
    {
        string text = Encoding.Latin1.GetString(body);
        text = Regex.Replace(text, "[ \t]+", " ");
        text = Regex.Replace(text, " (?=\r\n|$(?!\n))", "");
        text = Regex.Replace(text, "(\r\n)+\\z", "");
        return Encoding.Latin1.GetBytes(text.Length == 0 ? "" : text + "\r\n");
    }

    /// <summary>Verifies the topmost signature. Null: it holds; else what does not.</summary>
    public static string? Verify(byte[] message, RSA publicKey)
    {
        string text = Encoding.Latin1.GetString(message);
        int end = text.StartsWith("\r\n", StringComparison.Ordinal) ? 0 : text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 2;
        byte[] body = Encoding.Latin1.GetBytes(text[(end + 2)..]);
        List<string> fields = [.. Regex.Split(text[..end], "\r\n(?![ \t])").Where(static f => f.Length > 0)];
        string signature = fields.First(static f => f.StartsWith("DKIM-Signature:", StringComparison.OrdinalIgnoreCase));
        fields.Remove(signature);
        Dictionary<string, string> tags = Regex.Replace(signature["DKIM-Signature:".Length..], "[ \t\r\n]+", "").Split(';')
            .Select(static t => t.Split('=', 2)).ToDictionary(static t => t[0], static t => t[1]);
        if (tags["v"] != "1" || tags["a"] != "rsa-sha256" || tags["c"] != "relaxed/relaxed" || tags.ContainsKey("l"))
            return "tags";
        if (tags["bh"] != Convert.ToBase64String(SHA256.HashData(RelaxedBody(body))))
            return "body hash";
        var input = new StringBuilder();
        foreach (string name in tags["h"].Split(':'))
        {
            int last = fields.FindLastIndex(f => f.Split(':')[0].Trim().Equals(name, StringComparison.OrdinalIgnoreCase));
            if (last < 0)
                continue;
            input.Append(RelaxedField(fields[last])).Append("\r\n");
            fields.RemoveAt(last);
        }
        input.Append(RelaxedField(Regex.Replace(signature, "(?<=[;\\s])b=[^;]*", "b=")));
        return publicKey.VerifyData(Encoding.Latin1.GetBytes(input.ToString()), Convert.FromBase64String(tags["b"]), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            ? null
            : "signature";
    }

    private static string RelaxedField(string field)
    {
        string[] parts = field.Split(':', 2);
        string value = Regex.Replace(parts[1].Replace("\r\n", "", StringComparison.Ordinal), "[ \t]+", " ");
        return parts[0].TrimEnd(' ', '\t').ToLowerInvariant() + ":" + value.Trim(' ');
    }
}
