using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace RelayGate.Core.Mail;

/// <summary>A mailbox as MAIL and RCPT name it: local part and domain, exactly as written, with the parts needed to compare it.</summary>
/// <remarks>
/// RFC 5321 §4.1.2 (grammar, strict: no comments, no folding), RFC 6531 §3.3 (UTF-8 in both parts). What is accepted is sent on unchanged.
/// Equal are addresses that no server may tell apart: the local part in its case (RFC 5321 §2.4), whatever its quotes, and the domain in any
/// spelling. Accounts of our own are compared by <see cref="Canonical"/>, in which case makes no difference.
/// </remarks>
public sealed class MailboxAddress : IEquatable<MailboxAddress>
{
    private const int MaxLocalPartOctets = 64; // RFC 5321 §4.5.3.1.1.
    private const int MaxPathOctets = 254; // RFC 5321 §4.5.3.1.3: 256 with the angle brackets.

    private readonly string _unquoted;
    private readonly string _domain;

    private MailboxAddress(string text, string localPart, string domainText, Domain? domain, string unquoted)
    {
        Text = text;
        LocalPart = localPart;
        DomainText = domainText;
        Domain = domain;
        _unquoted = unquoted;
        _domain = domain?.Value ?? domainText.ToLowerInvariant();
        Canonical = domainText.Length == 0 ? unquoted.ToLowerInvariant() : unquoted.ToLowerInvariant() + "@" + _domain;
    }

    /// <summary>The address as written, without angle brackets.</summary>
    public string Text { get; }

    /// <summary>The local part as written, with its quotes if it has any.</summary>
    public string LocalPart { get; }

    /// <summary>The domain or address literal as written; empty for an unqualified address.</summary>
    public string DomainText { get; }

    /// <summary>The domain; null for an address literal and for an unqualified address.</summary>
    public Domain? Domain { get; }

    /// <summary>Lower case, unquoted, domain as A-labels: the form in which accounts are compared and looked up.</summary>
    public string Canonical { get; }

    /// <summary>Whether the domain is missing, as in "root" (accepted on the unix socket only).</summary>
    public bool IsUnqualified => DomainText.Length == 0;

    /// <summary>Whether every character is ASCII, so that SMTPUTF8 is not needed for this address.</summary>
    public bool IsAscii => Ascii.IsValid(Text);

    /// <summary>Reads <c>local-part "@" (domain / address-literal)</c>.</summary>
    /// <param name="text">Without angle brackets.</param>
    /// <param name="allowUnqualified">Whether the domain may be missing.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out MailboxAddress? address, bool allowUnqualified = false)
    {
        address = null;
        if (text.Length == 0 || Encoding.UTF8.GetByteCount(text) > MaxPathOctets)
            return false;
        int at = LocalPartLength(text, out string unquoted);
        if (at <= 0 || Encoding.UTF8.GetByteCount(text.AsSpan(0, at)) > MaxLocalPartOctets)
            return false;
        if (at == text.Length)
        {
            if (allowUnqualified)
                address = new MailboxAddress(text, text, "", null, unquoted);
            return allowUnqualified;
        }
        if (text[at] != '@')
            return false;
        string domainText = text[(at + 1)..];
        Domain? domain = null;
        if (domainText.StartsWith('[') ? !AddressLiteral.IsValid(domainText) : !Domain.TryParse(domainText, out domain))
            return false;
        address = new MailboxAddress(text, text[..at], domainText, domain, unquoted);
        return true;
    }

    /// <summary>Reads an address that is known to be valid.</summary>
    /// <exception cref="FormatException">The text is no address.</exception>
    public static MailboxAddress Parse(string text) =>
        TryParse(text, out MailboxAddress? address) ? address : throw new FormatException($"'{text}' is not an address");

    /// <summary>The same address with its domain as A-labels, which spares SMTPUTF8 where the local part is ASCII.</summary>
    public MailboxAddress WithAsciiDomain() => Domain is null || Ascii.IsValid(DomainText) ? this
        : new MailboxAddress($"{LocalPart}@{Domain.Value}", LocalPart, Domain.Value, Domain, _unquoted);

    public bool Equals(MailboxAddress? other) => other is not null && other._unquoted == _unquoted && other._domain == _domain;

    public override bool Equals(object? obj) => Equals(obj as MailboxAddress);

    public override int GetHashCode() => HashCode.Combine(_unquoted, _domain);

    public override string ToString() => Text;

    /// <summary>Length of the dot-string or quoted-string at the start, or 0 when there is none.</summary>
    private static int LocalPartLength(string text, out string unquoted)
    {
        unquoted = "";
        if (text[0] == '"')
        {
            var content = new StringBuilder(text.Length);
            for (int i = 1; i < text.Length; i++)
            {
                char c = text[i];
                if (c == '"')
                {
                    unquoted = content.ToString();
                    return content.Length == 0 ? 0 : i + 1;
                }
                if (c == '\\' && ++i < text.Length)
                    c = text[i];
                if (c is < ' ' or '\x7f' || (c >= 0x80 && !IsUtf8Text(c)))
                    return 0; // quoted-pairSMTP and qtextSMTP: %d32-126, plus UTF8-non-ascii.
                content.Append(c);
            }
            return 0;
        }
        int length = 0;
        while (length < text.Length && (IsAtomText(text[length]) || text[length] == '.'))
        {
            if (text[length] == '.' && (length == 0 || text[length - 1] == '.'))
                return 0;
            length++;
        }
        if (length == 0 || text[length - 1] == '.')
            return 0;
        unquoted = text[..length];
        return length;
    }

    private static bool IsAtomText(char c) => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-/=?^_`{|}~".Contains(c) || (c >= 0x80 && IsUtf8Text(c));

    /// <summary>Non-ASCII that may stand in an address: no C1 controls, no Unicode line or paragraph ends, no replacement character.</summary>
    private static bool IsUtf8Text(char c) => c is >= '\xa0' and not ('\u2028' or '\u2029' or '\ufffd' or '\ufeff');
}
