namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A theory on <see cref="SignedZones"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SignedZonesTheoryAttribute : TheoryAttribute
{
    public SignedZonesTheoryAttribute() => Skip = Programs.Missing(SignedZones.Needs);
}
