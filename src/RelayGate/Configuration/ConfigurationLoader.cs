using System.Collections;

namespace RelayGate.Configuration;

/// <summary>Finds, reads and joins the sources of the configuration: appsettings.json → conf.d/*.json beside it → environment → command line.</summary>
public static class ConfigurationLoader
{
    private const string EnvironmentPrefix = "RELAYGATE__";
    private const string FileName = "appsettings.json";
    private const string CommandLine = "command line";

    /// <summary>Loads and checks everything.</summary>
    /// <param name="file">Of <c>--config</c>; null: <see cref="DefaultFile"/>.</param>
    /// <param name="overrides">From the command line: key (<c>RelayGate:DataDirectory</c>) and value; relative paths are relative to the current folder.</param>
    /// <param name="environment">The process's environment.</param>
    /// <exception cref="ConfigurationException">Something is wrong; every fault that was found is in it.</exception>
    public static LoadedConfiguration Load(string? file, IReadOnlyDictionary<string, string>? overrides = null, IDictionary? environment = null)
    {
        var faults = new List<ConfigurationFault>();
        file = file is null ? DefaultFile() : Path.GetFullPath(file);
        if (file is null)
        {
            throw new ConfigurationException([new ConfigurationFault(FileName, "", null,
                $"no configuration found in {Environment.CurrentDirectory}, beside the program or in /etc/relaygate; give one with --config F, or try: relaygate demo")]);
        }
        SettingsNode root = JsonSettingsReader.Read(file, faults) ?? new SettingsNode(SettingsKind.Object, file, ".");
        List<string> files = [file];
        bool readable = faults.Count == 0;
        string dropIns = Path.Combine(Path.GetDirectoryName(file)!, "conf.d");
        if (Directory.Exists(dropIns))
        {
            foreach (string dropIn in Directory.EnumerateFiles(dropIns, "*.json").Order(StringComparer.Ordinal))
            {
                files.Add(dropIn);
                if (JsonSettingsReader.Read(dropIn, faults) is { } node)
                    root = root.OverlaidBy(node);
                else
                    readable = false;
            }
        }
        string folder = Path.GetDirectoryName(file)!;
        IDictionary variables = environment ?? Environment.GetEnvironmentVariables();
        foreach (string name in variables.Keys.Cast<string>().Order(StringComparer.OrdinalIgnoreCase)) // In order: items of a list come one after the other.
        {
            if (!name.StartsWith(EnvironmentPrefix, StringComparison.OrdinalIgnoreCase))
                continue;
            string[] path = ["RelayGate", .. name[EnvironmentPrefix.Length..].Split("__")];
            Set(root, path, new SettingsNode(SettingsKind.Untyped, name, folder) { Text = (string?)variables[name] ?? "" }, faults);
        }
        foreach ((string key, string value) in overrides ?? new Dictionary<string, string>())
            Set(root, key.Split(':'), new SettingsNode(SettingsKind.Untyped, CommandLine, Environment.CurrentDirectory) { Text = value }, faults);
        if (!readable) // Half a configuration would only give misleading faults.
            throw new ConfigurationException(faults);
        RelayGateOptions options = OptionsReader.Read(root, faults);
        if (faults.Count == 0)
            OptionsReader.CheckTogether(options, file, faults);
        return faults.Count == 0 ? new LoadedConfiguration(options, files) : throw new ConfigurationException(faults);
    }

    /// <summary>appsettings.json in the current folder, else beside the program, else in /etc/relaygate; null when there is none.</summary>
    public static string? DefaultFile() =>
        new[] { Environment.CurrentDirectory, AppContext.BaseDirectory, "/etc/relaygate" }
            .Select(folder => Path.GetFullPath(FileName, folder))
            .FirstOrDefault(File.Exists);

    private static void Set(SettingsNode root, string[] path, SettingsNode value, List<ConfigurationFault> faults)
    {
        if (path.Any(p => p.Length == 0) || !root.TrySet(path, value))
            faults.Add(new ConfigurationFault(value.Source, string.Join(':', path), value.Text, "no such key, or a number that is not the next of its list"));
    }
}

/// <param name="Files">All files that were read, the main one first.</param>
public sealed record LoadedConfiguration(RelayGateOptions Options, IReadOnlyList<string> Files);
