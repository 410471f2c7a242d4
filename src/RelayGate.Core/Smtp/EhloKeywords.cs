using System.Text;

namespace RelayGate.Core.Smtp;

/// <summary>The service extensions a next hop offers, as far as a client uses them (RFC 5321 §4.1.1.1).</summary>
/// <param name="SizeLimit">Octets of SIZE; null when the keyword stands alone or means no limit (RFC 1870 §4).</param>
public sealed record EhloKeywords(
    bool Pipelining = false,
    bool Size = false,
    long? SizeLimit = null,
    bool EightBitMime = false,
    bool SmtpUtf8 = false,
    bool Dsn = false,
    bool Chunking = false,
    bool StartTls = false,
    bool RequireTls = false)
{
    /// <summary>What AUTH offers of what a client here speaks.</summary>
    public SaslMechanisms Auth { get; init; }

    /// <summary>What a server offers that knows only HELO.</summary>
    public static EhloKeywords None { get; } = new();

    /// <param name="wire">A complete 250 reply to EHLO. Its first line is the greeting and offers nothing.</param>
    public static EhloKeywords Read(ReadOnlySpan<byte> wire)
    {
        EhloKeywords keywords = None;
        int first = wire.IndexOf((byte)'\n');
        for (wire = wire[(first + 1)..]; !wire.IsEmpty;)
        {
            int end = wire.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = end < 0 ? wire : wire[..end];
            wire = end < 0 ? [] : wire[(end + 2)..];
            if (line.Length > 4)
                keywords = keywords.With(line[4..].Trim((byte)' '));
        }
        return keywords;
    }

    private EhloKeywords With(ReadOnlySpan<byte> line)
    {
        int blank = line.IndexOf((byte)' ');
        ReadOnlySpan<byte> keyword = blank < 0 ? line : line[..blank];
        if (Ascii.EqualsIgnoreCase(keyword, "AUTH"u8))
            return this with { Auth = Auth | Mechanisms(blank < 0 ? [] : line[(blank + 1)..]) };
        if (keyword.Length > 5 && Ascii.EqualsIgnoreCase(keyword[..5], "AUTH="u8)) // Servers that spoke the draft wrote it so.
            return this with { Auth = Auth | Mechanisms(line[5..]) };
        if (Ascii.EqualsIgnoreCase(keyword, "PIPELINING"u8))
            return this with { Pipelining = true };
        if (Ascii.EqualsIgnoreCase(keyword, "SIZE"u8))
            return this with { Size = true, SizeLimit = blank > 0 && long.TryParse(line[(blank + 1)..], out long limit) && limit > 0 ? limit : null };
        if (Ascii.EqualsIgnoreCase(keyword, "8BITMIME"u8))
            return this with { EightBitMime = true };
        if (Ascii.EqualsIgnoreCase(keyword, "SMTPUTF8"u8))
            return this with { SmtpUtf8 = true };
        if (Ascii.EqualsIgnoreCase(keyword, "DSN"u8))
            return this with { Dsn = true };
        if (Ascii.EqualsIgnoreCase(keyword, "CHUNKING"u8))
            return this with { Chunking = true };
        if (Ascii.EqualsIgnoreCase(keyword, "REQUIRETLS"u8))
            return this with { RequireTls = true };
        if (Ascii.EqualsIgnoreCase(keyword, "STARTTLS"u8))
            return this with { StartTls = true };
        return this;
    }

    private static SaslMechanisms Mechanisms(ReadOnlySpan<byte> words)
    {
        SaslMechanisms found = SaslMechanisms.None;
        foreach (Range word in words.Split((byte)' '))
        {
            if (Ascii.EqualsIgnoreCase(words[word], "PLAIN"u8))
                found |= SaslMechanisms.Plain;
            else if (Ascii.EqualsIgnoreCase(words[word], "LOGIN"u8))
                found |= SaslMechanisms.Login;
            else if (Ascii.EqualsIgnoreCase(words[word], "SCRAM-SHA-256"u8))
                found |= SaslMechanisms.ScramSha256;
        }
        return found;
    }
}
