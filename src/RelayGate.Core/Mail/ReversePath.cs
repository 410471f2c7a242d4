namespace RelayGate.Core.Mail;

/// <summary>The address of MAIL FROM: who hears of failure; <see cref="Null"/> for notifications (RFC 5321 §4.5.5).</summary>
public sealed record ReversePath(MailboxAddress? Address)
{
    public static ReversePath Null { get; } = new((MailboxAddress?)null);

    public bool IsNull => Address is null;

    /// <summary>The address as written, or an empty text for the null reverse-path.</summary>
    public string Text => Address?.Text ?? "";

    /// <summary>As it stands in a command: <c>&lt;info@shop.test&gt;</c> or <c>&lt;&gt;</c>.</summary>
    public override string ToString() => $"<{Text}>";
}
