using System.Collections.Immutable;
using System.Text;

namespace RelayGate.Core.Mail;

/// <summary>When the sender wants to hear of a recipient (RFC 3461 §4.1). <see cref="Default"/>: not said, which means failure and perhaps delay.</summary>
[Flags]
public enum DsnNotify
{
    Default = 0,
    Never = 1,
    Success = 2,
    Failure = 4,
    Delay = 8,
}

/// <summary>How much of the message a DSN returns (RFC 3461 §4.3).</summary>
public enum DsnReturn
{
    Unspecified = 0,
    Full,
    Headers,
}

/// <summary>One recipient with what RCPT said of it.</summary>
/// <param name="OriginalRecipient">ORCPT as written (<c>rfc822;…</c>, xtext kept), in ASCII; or null (RFC 3461 §4.2).</param>
public sealed record EnvelopeRecipient(ForwardPath ForwardPath, DsnNotify Notify = DsnNotify.Default, string? OriginalRecipient = null)
{
    /// <summary>ORCPT in the form that every next hop understands: <c>\x{FC}</c> for what is not ASCII (RFC 6533 §3, utf-8-addr-xtext).</summary>
    public static string ToAscii(string originalRecipient)
    {
        if (Ascii.IsValid(originalRecipient))
            return originalRecipient;
        var text = new StringBuilder(originalRecipient.Length + 16);
        foreach (Rune rune in originalRecipient.EnumerateRunes())
        {
            if (rune.IsAscii)
                text.Append((char)rune.Value);
            else
                text.Append("\\x{").Append(rune.Value.ToString("X2")).Append('}');
        }
        return text.ToString();
    }
}

/// <summary>The SMTP envelope of one mail transaction: who hears of failure, and who gets the message.</summary>
/// <remarks>RFC 5321 §2.3.1 and §3.3. Holds only what MAIL and RCPT said; nothing is taken from the header section.</remarks>
/// <param name="ReversePath">Address of MAIL FROM; <see cref="ReversePath.Null"/> for a DSN (§4.5.5).</param>
/// <param name="Recipients">Addresses of RCPT TO, in the order accepted, each once.</param>
/// <param name="DeclaredOctets">SIZE= of MAIL FROM (RFC 1870), or null when the client gave none.</param>
/// <param name="SmtpUtf8">Whether MAIL carried SMTPUTF8 (RFC 6531).</param>
/// <param name="Return">RET= of MAIL FROM.</param>
/// <param name="EnvelopeId">ENVID= of MAIL FROM as written (xtext kept), or null (RFC 3461 §4.4).</param>
/// <param name="RequireTls">MAIL carried REQUIRETLS (RFC 8689 §4.1).</param>
public sealed record Envelope(
    ReversePath ReversePath,
    ImmutableArray<EnvelopeRecipient> Recipients,
    long? DeclaredOctets = null,
    bool SmtpUtf8 = false,
    DsnReturn Return = DsnReturn.Unspecified,
    string? EnvelopeId = null,
    bool RequireTls = false)
{
    public static Envelope Begin(ReversePath reversePath) => new(reversePath, []);

    /// <summary>Adds a recipient; one that is there already stays as it was first given.</summary>
    public Envelope WithRecipient(EnvelopeRecipient recipient)
    {
        foreach (EnvelopeRecipient known in Recipients)
        {
            if (known.ForwardPath == recipient.ForwardPath)
                return this;
        }
        return this with { Recipients = Recipients.Add(recipient) };
    }
}
