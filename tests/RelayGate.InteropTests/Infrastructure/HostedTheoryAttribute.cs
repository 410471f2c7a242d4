namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A theory on a <see cref="HostedServer"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class HostedTheoryAttribute : TheoryAttribute
{
    public HostedTheoryAttribute(params string[] needs)
    {
        Needs = [.. HostedServer.Needs, .. needs];
        Skip = Programs.Missing(Needs);
    }

    public IReadOnlyList<string> Needs { get; }
}
