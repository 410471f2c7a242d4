using System.Globalization;
using RelayGate.Core.Messages;

namespace RelayGate.Configuration;

/// <summary>Typed, checked reading of one object of the configuration; each fault becomes one line, and keys that nobody asked for are faults.</summary>
internal sealed class SettingsSection(SettingsNode node, string key, List<ConfigurationFault> faults)
{
    private readonly SortedSet<string> _known = new(StringComparer.OrdinalIgnoreCase);

    public string Key { get; } = key;

    public SettingsNode Node { get; } = node;

    public List<ConfigurationFault> Faults { get; } = faults;

    public SettingsNode? Find(string name)
    {
        _known.Add(name);
        return Node.Members.GetValueOrDefault(name);
    }

    /// <summary>A section below this one; an absent one reads as empty.</summary>
    public void Section(string name, Action<SettingsSection> read)
    {
        SettingsNode? child = Find(name);
        if (child is not null && child.Kind != SettingsKind.Object)
        {
            Fault(name, child, "an object { … } is expected");
            child = null;
        }
        var section = new SettingsSection(child ?? new SettingsNode(SettingsKind.Object, Node.Source, Node.Folder), $"{Key}:{name}", Faults);
        read(section);
        section.FaultUnknownKeys();
    }

    /// <summary>An object whose members have names of the user's choice, each an object itself.</summary>
    public void Map(string name, Action<string, SettingsSection> readMember)
    {
        if (Find(name) is not { } map)
            return;
        if (map.Kind != SettingsKind.Object)
        {
            Fault(name, map, "an object { … } is expected");
            return;
        }
        foreach ((string member, SettingsNode child) in map.Members)
        {
            if (child.Kind != SettingsKind.Object)
            {
                Fault($"{name}:{member}", child, "an object { … } is expected");
                continue;
            }
            var section = new SettingsSection(child, $"{Key}:{name}:{member}", Faults);
            readMember(member, section);
            section.FaultUnknownKeys();
        }
    }

    /// <summary>A list of objects.</summary>
    public void List(string name, Action<SettingsSection> readItem)
    {
        if (Find(name) is not { } list)
            return;
        if (list.Kind != SettingsKind.Array)
        {
            Fault(name, list, "a list [ … ] is expected");
            return;
        }
        for (int i = 0; i < list.Items.Count; i++)
        {
            if (list.Items[i].Kind != SettingsKind.Object)
            {
                Fault($"{name}:{i}", list.Items[i], "an object { … } is expected");
                continue;
            }
            var section = new SettingsSection(list.Items[i], $"{Key}:{name}:{i}", Faults);
            readItem(section);
            section.FaultUnknownKeys();
        }
    }

    /// <param name="valid">What the text must be like.</param>
    /// <param name="remedy">What would be right, when it is not.</param>
    public string Text(string name, string whenAbsent, Func<string, bool> valid, string remedy)
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind is SettingsKind.Text or SettingsKind.Untyped && valid(value.Text))
            return value.Text;
        Fault(name, value, remedy);
        return whenAbsent;
    }

    /// <summary>As <see cref="Text"/>, but null (in the environment: nothing) is a value.</summary>
    public string? NullableText(string name, string? whenAbsent, Func<string, bool> valid, string remedy)
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind == SettingsKind.Null || (value.Kind == SettingsKind.Untyped && value.Text.Length == 0))
            return null;
        if (value.Kind is SettingsKind.Text or SettingsKind.Untyped && valid(value.Text))
            return value.Text;
        Fault(name, value, $"{remedy}, or null");
        return whenAbsent;
    }

    /// <summary>A path, made absolute from the folder of the file it stands in.</summary>
    public string? NullablePath(string name, string? whenAbsent, string remedy)
    {
        string? path = NullableText(name, whenAbsent, text => IsPath(text), remedy);
        return path is null || ReferenceEquals(path, whenAbsent) ? path : Absolute(Find(name)!, path);
    }

    public string Path(string name, string whenAbsent, string remedy)
    {
        string path = Text(name, whenAbsent, IsPath, remedy);
        return ReferenceEquals(path, whenAbsent) ? path : Absolute(Find(name)!, path);
    }

    public bool Boolean(string name, bool whenAbsent)
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind is SettingsKind.Boolean or SettingsKind.Untyped && bool.TryParse(value.Text, out bool result))
            return result;
        Fault(name, value, "true or false is expected");
        return whenAbsent;
    }

    public long Integer(string name, long whenAbsent, long least, long most, string unit)
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind is SettingsKind.Number or SettingsKind.Untyped
            && long.TryParse(value.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long result) && result >= least && result <= most)
            return result;
        Fault(name, value, $"a whole number of {unit} from {least} to {most} is expected");
        return whenAbsent;
    }

    public int Integer(string name, int whenAbsent, int least, int most, string unit) =>
        (int)Integer(name, (long)whenAbsent, least, most, unit);

    /// <summary>A time span as .NET writes it: <c>hh:mm:ss</c> or <c>d.hh:mm:ss</c>.</summary>
    public TimeSpan Time(string name, TimeSpan whenAbsent, TimeSpan least, TimeSpan most)
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind is SettingsKind.Text or SettingsKind.Untyped && value.Text.Contains(':')
            && TimeSpan.TryParseExact(value.Text, ["c", "g", "G"], CultureInfo.InvariantCulture, out TimeSpan time) && time >= least && time <= most)
            return time;
        Fault(name, value, $"a time from {least:c} to {most:c} is expected, written \"hh:mm:ss\" or \"days.hh:mm:ss\"");
        return whenAbsent;
    }

    public T Choice<T>(string name, T whenAbsent) where T : struct, Enum
    {
        if (Find(name) is not { } value)
            return whenAbsent;
        if (value.Kind is SettingsKind.Text or SettingsKind.Untyped)
        {
            foreach (T choice in Enum.GetValues<T>())
            {
                if (value.Text.Equals(choice.ToString(), StringComparison.OrdinalIgnoreCase)) // Not Enum.Parse: it takes numbers.
                    return choice;
            }
        }
        Fault(name, value, $"one of {string.Join(", ", Enum.GetNames<T>())} is expected");
        return whenAbsent;
    }

    public void Fault(string name, SettingsNode value, string remedy) =>
        Faults.Add(new ConfigurationFault(value.Source, $"{Key}:{name}", value.Shown, remedy));

    /// <summary>To be called when all known keys have been asked for.</summary>
    public void FaultUnknownKeys()
    {
        foreach ((string name, SettingsNode value) in Node.Members)
        {
            if (_known.Contains(name))
                continue;
            string key = Key.Length == 0 ? name : $"{Key}:{name}";
            string? near = NearName.Of(name, _known);
            Faults.Add(new ConfigurationFault(value.Source, key, null,
                near is not null ? $"unknown key; did you mean {near}?" : $"unknown key; known here: {string.Join(", ", _known)}"));
        }
    }

    public static string Absolute(SettingsNode node, string path) => System.IO.Path.GetFullPath(path, node.Folder);

    private static bool IsPath(string text) => text.Length is > 0 and <= 4096 && !text.Contains('\0') && text.Trim().Length == text.Length;
}
