using System.Text;
using System.Text.Json;

namespace RelayGate.Configuration;

/// <summary>Reads one JSON file (comments and trailing commas allowed) into <see cref="SettingsNode"/>s that know their line.</summary>
internal static class JsonSettingsReader
{
    private const int MaxFileOctets = 4 * 1024 * 1024;

    /// <returns>Null when the file cannot be read; the fault is added.</returns>
    public static SettingsNode? Read(string path, List<ConfigurationFault> faults)
    {
        byte[] octets;
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxFileOctets })
            {
                faults.Add(new ConfigurationFault(path, "", null, $"the file is larger than {MaxFileOctets} octets"));
                return null;
            }
            octets = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            faults.Add(new ConfigurationFault(path, "", null, error switch
            {
                FileNotFoundException or DirectoryNotFoundException => "no such file",
                UnauthorizedAccessException when Directory.Exists(path) => "this is a folder, not a file",
                UnauthorizedAccessException => "the file may not be read by this user",
                _ => "the file cannot be read",
            }));
            return null;
        }
        return Parse(octets, path, Path.GetDirectoryName(Path.GetFullPath(path))!, faults);
    }

    public static SettingsNode? Parse(ReadOnlySpan<byte> octets, string path, string folder, List<ConfigurationFault> faults)
    {
        if (octets.StartsWith(Encoding.UTF8.Preamble))
            octets = octets[Encoding.UTF8.Preamble.Length..];
        var json = new Utf8JsonReader(octets, new JsonReaderOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, MaxDepth = 32 });
        var lines = new LineCounter();
        try
        {
            if (octets.Trim(" \t\r\n"u8).IsEmpty || !json.Read())
                return Fail(path, faults, "the file is empty; the least is { \"RelayGate\": { } }");
            if (json.TokenType != JsonTokenType.StartObject)
                return Fail(path, faults, "the file must hold one object: { \"RelayGate\": { … } }");
            SettingsNode root = ReadValue(ref json, octets, ref lines, path, folder, "", faults);
            json.Read(); // Anything after the object is a fault of its own.
            return root;
        }
        catch (JsonException error)
        {
            // The reader counts from 0; people and editors from 1.
            faults.Add(new ConfigurationFault($"{path}:{error.LineNumber + 1}:{error.BytePositionInLine + 1}", "", null, $"not valid JSON: {FirstSentence(error.Message)}"));
            return null;
        }
    }

    private static SettingsNode? Fail(string path, List<ConfigurationFault> faults, string remedy)
    {
        faults.Add(new ConfigurationFault(path, "", null, remedy));
        return null;
    }

    private static SettingsNode ReadValue(
        ref Utf8JsonReader json, ReadOnlySpan<byte> octets, ref LineCounter lines, string path, string folder, string key, List<ConfigurationFault> faults)
    {
        string source = $"{path}:{lines.LineOf(octets, (int)json.TokenStartIndex)}";
        switch (json.TokenType)
        {
            case JsonTokenType.StartObject:
                var node = new SettingsNode(SettingsKind.Object, source, folder);
                while (json.Read() && json.TokenType != JsonTokenType.EndObject)
                {
                    string name = json.GetString()!;
                    string memberKey = key.Length == 0 ? name : $"{key}:{name}";
                    json.Read();
                    SettingsNode member = ReadValue(ref json, octets, ref lines, path, folder, memberKey, faults);
                    if (!node.Members.TryAdd(name, member))
                        faults.Add(new ConfigurationFault(member.Source, memberKey, null, "the key stands here a second time; keep one"));
                }
                return node;
            case JsonTokenType.StartArray:
                var list = new SettingsNode(SettingsKind.Array, source, folder);
                while (json.Read() && json.TokenType != JsonTokenType.EndArray)
                    list.Items.Add(ReadValue(ref json, octets, ref lines, path, folder, $"{key}:{list.Items.Count}", faults));
                return list;
            case JsonTokenType.String:
                return new SettingsNode(SettingsKind.Text, source, folder) { Text = json.GetString()! };
            case JsonTokenType.Number:
                return new SettingsNode(SettingsKind.Number, source, folder) { Text = Encoding.UTF8.GetString(json.ValueSpan) };
            case JsonTokenType.True or JsonTokenType.False:
                return new SettingsNode(SettingsKind.Boolean, source, folder) { Text = json.GetBoolean() ? "true" : "false" };
            default:
                return new SettingsNode(SettingsKind.Null, source, folder);
        }
    }

    /// <summary>The runtime's text without its trailing position, which we give in our own form.</summary>
    private static string FirstSentence(string message)
    {
        int end = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return (end < 0 ? message : message[..end]).TrimEnd('.', ' ');
    }

    /// <summary>Turns growing offsets into line numbers by one walk over the file.</summary>
    private struct LineCounter
    {
        private int _offset;
        private int _line;

        public int LineOf(ReadOnlySpan<byte> octets, int offset)
        {
            _line += octets[_offset..offset].Count((byte)'\n');
            _offset = offset;
            return _line + 1;
        }
    }
}
