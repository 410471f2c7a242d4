namespace RelayGate.Configuration;

internal enum SettingsKind
{
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,

    /// <summary>From the environment or the command line: may be read as text, number, boolean or (when empty) null.</summary>
    Untyped,
}

/// <summary>One value of the configuration with the place it came from.</summary>
/// <param name="source">File and line, name of an environment variable, or "command line".</param>
/// <param name="folder">What relative paths are relative to.</param>
internal sealed class SettingsNode(SettingsKind kind, string source, string folder)
{
    public SettingsKind Kind { get; } = kind;

    public string Source { get; } = source;

    public string Folder { get; } = folder;

    /// <summary>The scalar as written, without its quotes.</summary>
    public string Text { get; init; } = "";

    /// <summary>Keys ignore case, as in every .NET configuration.</summary>
    public Dictionary<string, SettingsNode> Members { get; } = new(StringComparer.OrdinalIgnoreCase);

    public List<SettingsNode> Items { get; } = [];

    /// <summary>The value for a fault: quoted if it was a text.</summary>
    public string Shown => Kind switch
    {
        SettingsKind.Object => "{…}",
        SettingsKind.Array => "[…]",
        SettingsKind.Null => "null",
        SettingsKind.Text => $"\"{Text}\"",
        _ => Text,
    };

    /// <summary>Lays a later source over this one: objects are joined, everything else (lists too) is replaced whole.</summary>
    public SettingsNode OverlaidBy(SettingsNode later)
    {
        if (Kind != SettingsKind.Object || later.Kind != SettingsKind.Object)
            return later;
        var joined = new SettingsNode(SettingsKind.Object, Source, Folder);
        foreach ((string name, SettingsNode node) in Members)
            joined.Members[name] = node;
        foreach ((string name, SettingsNode node) in later.Members)
            joined.Members[name] = joined.Members.TryGetValue(name, out SettingsNode? known) ? known.OverlaidBy(node) : node;
        return joined;
    }

    /// <summary>Sets one value by its path; a number names an item of a list, or the next one.</summary>
    public bool TrySet(ReadOnlySpan<string> path, SettingsNode value)
    {
        if (Kind == SettingsKind.Array)
        {
            if (!int.TryParse(path[0], out int index) || index < 0 || index > Items.Count)
                return false;
            if (index == Items.Count)
                Items.Add(path.Length == 1 ? value : new SettingsNode(SettingsKind.Object, value.Source, value.Folder));
            else if (path.Length == 1)
                Items[index] = value;
            return path.Length == 1 || Items[index].TrySet(path[1..], value);
        }
        if (Kind != SettingsKind.Object)
            return false;
        if (path.Length == 1)
        {
            Members[path[0]] = value;
            return true;
        }
        if (!Members.TryGetValue(path[0], out SettingsNode? next) || next.Kind is not (SettingsKind.Object or SettingsKind.Array))
        {
            SettingsKind kind = int.TryParse(path[1], out _) ? SettingsKind.Array : SettingsKind.Object;
            Members[path[0]] = next = new SettingsNode(kind, value.Source, value.Folder);
        }
        return next.TrySet(path[1..], value);
    }
}
