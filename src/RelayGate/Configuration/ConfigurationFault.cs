namespace RelayGate.Configuration;

/// <summary>One thing that is wrong with the configuration.</summary>
/// <param name="Source">File (with line, where it has one), name of an environment variable, or "command line".</param>
/// <param name="Key">For instance <c>RelayGate:Delivery:NextHop</c>; empty when the whole file is at fault.</param>
/// <param name="Value">The value as written, or null when the key itself is at fault.</param>
/// <param name="Remedy">What would be right.</param>
public sealed record ConfigurationFault(string Source, string Key, string? Value, string Remedy)
{
    private const int MaxValueLength = 120;

    /// <summary>One line, without control characters.</summary>
    public override string ToString()
    {
        string value = Value is null ? "" : $" = {Cut(Value)}";
        string key = Key.Length == 0 ? "" : $"{Key}{value}: ";
        return string.Concat($"{Source}: {key}{Remedy}".Select(c => char.IsControl(c) ? ' ' : c));
    }

    private static string Cut(string value) => value.Length <= MaxValueLength ? value : value[..MaxValueLength] + "…";
}

/// <summary>The configuration cannot be used. All faults that were found, each one line.</summary>
public sealed class ConfigurationException(IReadOnlyList<ConfigurationFault> faults)
    : Exception(string.Join('\n', faults))
{
    public IReadOnlyList<ConfigurationFault> Faults { get; } = faults;
}
