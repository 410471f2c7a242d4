namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A fact on a <see cref="HostedServer"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class HostedFactAttribute : FactAttribute
{
    public HostedFactAttribute(params string[] needs)
    {
        Needs = [.. HostedServer.Needs, .. needs];
        Skip = Programs.Missing(Needs);
    }

    public IReadOnlyList<string> Needs { get; }
}
