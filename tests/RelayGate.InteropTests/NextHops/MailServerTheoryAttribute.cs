using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.NextHops;

/// <summary>A theory on the three <see cref="MailServer"/>s.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class MailServerTheoryAttribute : TheoryAttribute
{
    public MailServerTheoryAttribute()
    {
        Needs = [.. MailServer.Needs(MailServer.Postfix), .. MailServer.Needs(MailServer.Exim), .. MailServer.Needs(MailServer.OpenSmtpd)];
        Skip = Programs.Missing(Needs);
    }

    public IReadOnlyList<string> Needs { get; }
}
