namespace RelayGate.Core.Mail;

/// <summary>An address of RCPT TO. Source routes are read and ignored (RFC 5321 §4.1.1.3, Appendix C).</summary>
public sealed record ForwardPath(MailboxAddress Address)
{
    public string Text => Address.Text;

    public override string ToString() => $"<{Text}>";
}
