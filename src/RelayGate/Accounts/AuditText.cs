namespace RelayGate.Accounts;

/// <summary>Says in one line how an object stands, for the audit list: values that are not set are left out, and no secret is ever in.</summary>
internal static class AuditText
{
    public static string Of(PlanView plan) => Line(Flag(plan.IsSuspended, "suspended"));

    public static string Of(SubscriptionView s) => Line(
        Value("plan", s.Plan), Value("contact", s.Contact), Value("ipv4", s.IPv4), Value("ipv6", s.IPv6), Value("sender", Word(s.SenderMode)),
        Value("header-from", Word(s.HeaderFrom)), Value("owned", Word(s.Owned)), Value("system-users", s.SystemUsers.Count == 0 ? null : string.Join(',', s.SystemUsers.Select(static u => u.IsShared ? $"{u.Name}(shared)" : u.Name))),
        Flag(s.IsSuspended, "suspended"));

    public static string Of(DomainView d) => Line(
        Value("subscription", d.Subscription), Value("ipv4", d.IPv4), Value("ipv6", d.IPv6), Value("sender", Word(d.SenderMode)),
        Value("header-from", Word(d.HeaderFrom)), Value("owned", Word(d.Owned)), Flag(d.IsSuspended, "suspended"));

    public static string Of(MailboxView m) => Of(m, m.HasPassword ? "set" : "none");

    /// <summary>After a change of the password: how it stands is what it was before.</summary>
    public static string OfNewPassword(MailboxView m) => Of(m, "changed");

    private static string Of(MailboxView m, string password) => Line(
        Value("password", password), Value("aliases", m.Aliases.Count == 0 ? null : string.Join(',', m.Aliases)), Flag(m.IsSuspended, "suspended"));

    public static string Of(SenderView s) => Line(
        Value("of", s.Of.ToString()), Value("old-password-until", s.PreviousUntil?.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ")), Flag(s.IsSuspended, "suspended"));

    public static string Of(AddressView a) => Line(Value("helo", a.Helo), Flag(a.IsShared, "shared"), Value("subscription", a.Subscription), Flag(a.DrainingSince is not null, "draining"));

    public static string Of(NetworkView n) => Line(Value("subscription", n.Subscription), Flag(n.IsExemptFromLimits, "exempt-from-limits"), Flag(n.TrustsAll, "trust-all"));

    public static string Of(DkimKeyView k) => Line(Value("selector", k.Selector), Value("bits", k.Bits.ToString()));

    public static string Of(LimitRecord? limit) => limit is null ? "" : Line(
        limit.Limits?.ToString(), limit.Limits is null ? null : Value("over", Word(limit.Action)), Value("max-recipients", limit.MaxRecipients?.ToString()),
        Value("warn-at", limit.WarnAt?.ToString()), limit.IsEnforced is { } isOn ? Value("enforce", isOn ? "on" : "off") : null);

    /// <summary>An object without anything to say of it.</summary>
    private static string Line(params IEnumerable<string?> parts)
    {
        string line = string.Join(' ', parts.OfType<string>());
        return line.Length == 0 ? "plain" : line;
    }

    private static string? Value(string name, string? value) => value is null ? null : $"{name}={value}";

    private static string? Flag(bool value, string name) => value ? name : null;

    private static string? Word<T>(T? value)
        where T : struct, Enum => value?.ToString().ToLowerInvariant();

    private static string? Word<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();
}
