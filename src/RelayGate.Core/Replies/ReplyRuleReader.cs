using System.Collections.Immutable;
using System.Text.Json;
using System.Text.RegularExpressions;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Replies;

/// <summary>Reads rules, one JSON object a line (docs/reply-rules.md), and tests them with their own samples.</summary>
/// <remarks>Bounds: 1 MiB a text, 16 KiB a line, 500 rules, 1,000 characters a pattern, 50 samples a rule, of 4 KiB.</remarks>
public sealed class ReplyRuleReader
{
    public const int MaxFaults = 20;
    public const int MaxCharacters = 1024 * 1024;

    private const int MaxLine = 16 * 1024;
    private const int MaxRules = 500;
    private const int MaxPattern = 1000;
    private const int MaxSamples = 50;
    private const int MaxSample = 4096;
    private const string BuiltInName = "built-in rules";

    private static readonly string[] RuleKeys = ["rule", "provider", "stage", "code", "status", "text", "class", "is", "list", "samples"];
    private static readonly string[] SampleKeys = ["reply", "provider", "stage", "code", "list", "url"];
    private static readonly string[] ProviderKeys = ["name", "hosts"];
    private static readonly string[] ListKeys = ["list", "text"];
    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 8, AllowDuplicateProperties = false };

    private static readonly DeliveryStage[] Stages =
        [DeliveryStage.Greeting, DeliveryStage.Ehlo, DeliveryStage.StartTls, DeliveryStage.Auth, DeliveryStage.Mail, DeliveryStage.Rcpt, DeliveryStage.Data, DeliveryStage.EndOfData];

    private readonly List<ReplyRule> _rules = [];
    private readonly List<ReplyList> _lists = [];
    private readonly Dictionary<string, string> _hosts = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, (ReplyRuleSource Source, int Line)> _names = new(StringComparer.Ordinal);
    private readonly ImmutableArray<ReplyRuleFault>.Builder _faults = ImmutableArray.CreateBuilder<ReplyRuleFault>();
    private ReplyRuleSource _source = new("", "");
    private int _line;

    private ReplyRuleReader()
    {
    }

    /// <summary>The rules of this build.</summary>
    public static ReplyRuleSource BuiltIn
    {
        get
        {
            using Stream stream = typeof(ReplyRuleReader).Assembly.GetManifestResourceStream("reply-rules.jsonl")!;
            using var reader = new StreamReader(stream);
            return new ReplyRuleSource(BuiltInName, reader.ReadToEnd(), IsTested: true);
        }
    }

    /// <summary>Reads all texts as one list of rules, in this order; what an earlier one says of a host holds.</summary>
    public static ReplyRuleReading Read(params ReadOnlySpan<ReplyRuleSource> sources)
    {
        var reader = new ReplyRuleReader();
        foreach (ReplyRuleSource source in sources)
            reader.ReadSource(source);
        reader.CheckProviders(sources);
        if (reader._faults.Count > 0)
            return new ReplyRuleReading(null, reader._faults.ToImmutable());
        var rules = new ReplyRules([.. reader._rules], reader._hosts, [.. reader._lists]);
        foreach (ReplyRuleSource source in sources)
        {
            if (!source.IsTested)
                reader.Test(rules, source.Name);
        }
        return new ReplyRuleReading(reader._faults.Count > 0 ? null : rules, reader._faults.ToImmutable());
    }

    /// <summary>Reads a stage by its name in records: greeting, ehlo, starttls, auth, mail, rcpt, data, end-of-data.</summary>
    public static bool TryStage(string name, out DeliveryStage stage)
    {
        foreach (DeliveryStage candidate in Stages)
        {
            if (DeliveryOutcome.NameOf(candidate) == name)
            {
                stage = candidate;
                return true;
            }
        }
        stage = DeliveryStage.Local;
        return false;
    }

    /// <summary>The names that <see cref="TryStage"/> knows.</summary>
    public static string StageNames => string.Join(", ", Stages.Select(DeliveryOutcome.NameOf));

    /// <summary>Reads a reply as people write it: its lines with LF or CRLF, the last with or without.</summary>
    /// <returns>Null when it is no refusal.</returns>
    public static SmtpReply? TryReply(string text)
    {
        if (text.Length > ReplyScanner.MaxOctets)
            return null;
        string[] lines = text.TrimEnd('\r', '\n').ReplaceLineEndings("\n").Split('\n');
        string wire = string.Concat(lines.Select(static line => line + "\r\n"));
        byte[] octets = System.Text.Encoding.UTF8.GetBytes(wire);
        var scanner = new ReplyScanner();
        return scanner.Scan(octets) == ReplyScan.Complete && scanner.Length == octets.Length && scanner.Code >= 400 ? RemoteReply.Read(octets) : null;
    }

    private void ReadSource(ReplyRuleSource source)
    {
        _source = source;
        _line = 0;
        if (source.Text.Length > MaxCharacters)
        {
            Add(new ReplyRuleFault(source.Name, null, $"the file has {source.Text.Length} characters: {MaxCharacters} at most"));
            return;
        }
        var ownHosts = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (ReadOnlySpan<char> line in source.Text.AsSpan().EnumerateLines())
        {
            _line++;
            ReadOnlySpan<char> text = line.Trim();
            if (text.IsEmpty || text[0] == '#')
                continue;
            if (text.Length > MaxLine)
                Fault($"the line has {text.Length} characters: {MaxLine} at most");
            else
                ReadLine(text.ToString(), ownHosts);
        }
        foreach ((string host, string provider) in ownHosts)
            _hosts.TryAdd(host, provider);
    }

    private void ReadLine(string text, Dictionary<string, string> ownHosts)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, Strict);
            JsonElement row = document.RootElement;
            if (row.ValueKind != JsonValueKind.Object)
                Fault("one JSON object a line is expected, for instance {\"rule\":\"name\",\"text\":\"…\",\"class\":\"policy\",\"samples\":[\"550 …\"]}");
            else if (row.TryGetProperty("rule", out _))
                ReadRule(row);
            else if (row.TryGetProperty("name", out _))
                ReadProvider(row, ownHosts);
            else if (row.TryGetProperty("list", out _))
                ReadList(row);
            else
                Fault("the object has none of rule (a rule), name (a provider and its hosts), list (a list and how it is known)");
        }
        catch (JsonException error)
        {
            Fault($"no valid JSON at character {(error.BytePositionInLine ?? 0) + 1}: one object a line, and each \\ of a pattern written as \\\\");
        }
    }

    private void ReadProvider(JsonElement row, Dictionary<string, string> ownHosts)
    {
        if (!Known(row, ProviderKeys) || Slug(row, "name") is not { } name)
            return;
        ImmutableArray<string> hosts = Texts(row, "hosts");
        if (hosts.IsEmpty)
            Fault("hosts: at least one host, or the end of one (example.net, for it and all below), is expected");
        foreach (string host in hosts)
        {
            if (host.Length is 0 or > 253 || host[0] is '.' or '*' || !host.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-'))
                Fault($"hosts: '{Printable(host)}' is no host: example.net is expected, for it and all below");
            else if (!ownHosts.TryAdd(host, name))
                Fault($"hosts: {host} has the provider {ownHosts[host]} already");
        }
    }

    private void ReadList(JsonElement row)
    {
        if (!Known(row, ListKeys) || Text(row, "list") is not { } name || Pattern(row) is not { } pattern)
            return;
        if (name.Length is 0 or > ReplyText.MaxWord || name.Contains(' ', StringComparison.Ordinal))
            Fault("list: a short name such as zen.spamhaus.org is expected");
        else
            _lists.Add(new ReplyList(name, pattern));
    }

    private void ReadRule(JsonElement row)
    {
        int before = _faults.Count;
        if (!Known(row, RuleKeys) || Slug(row, "rule") is not { } name)
            return;
        if (!_names.TryAdd(name, (_source, _line)))
            FaultName(name);
        if (_rules.Count >= MaxRules)
            Fault($"{MaxRules} rules at most");
        ReplyPattern? pattern = row.TryGetProperty("text", out _) ? Pattern(row) : null;
        var stages = ImmutableArray.CreateBuilder<DeliveryStage>();
        foreach (string word in Texts(row, "stage"))
        {
            if (TryStage(word, out DeliveryStage stage))
                stages.Add(stage);
            else
                Fault($"stage is '{Printable(word)}': one of {StageNames} is expected");
        }
        ImmutableArray<string> codes = Texts(row, "code");
        foreach (string code in codes)
        {
            if (code.Length is 0 or > 3 || code[0] is not ('4' or '5') || !code.All(char.IsAsciiDigit))
                Fault($"code is '{Printable(code)}': the first one to three digits of a refusal (\"5\", \"55\", \"550\") are expected");
        }
        var statuses = ImmutableArray.CreateBuilder<StatusPattern>();
        foreach (string status in Texts(row, "status"))
        {
            if (StatusPattern.TryParse(status, out StatusPattern parsed))
                statuses.Add(parsed);
            else
                Fault($"status is '{Printable(status)}': an enhanced code such as 5.7.1, x.7.26 or 5.7.606-649 is expected");
        }
        ImmutableArray<string> providers = [.. Texts(row, "provider").Select(static p => p.ToLowerInvariant())];
        ReplyClass replyClass = ReplyClass.None;
        if (Text(row, "class") is not { } className || !ReplyClassNames.TryParse(className, out replyClass) || replyClass == ReplyClass.None)
            Fault($"class is '{Printable(Text(row, "class") ?? "")}': one of {string.Join(", ", ReplyClassNames.All.Skip(1))} is expected");
        if (pattern is null && codes.IsEmpty && statuses.Count == 0 && _faults.Count == before)
            Fault("a rule needs text, code or status: with none it would match every refusal");
        ImmutableArray<ReplySample> samples = Samples(row, providers, stages);
        if (_faults.Count > before)
            return;
        _rules.Add(new ReplyRule(name, _source.Name, _line, pattern)
        {
            Class = replyClass,
            Providers = providers,
            Is = Text(row, "is")?.ToLowerInvariant(),
            List = Text(row, "list"),
            Stages = stages.ToImmutable(),
            Codes = codes,
            Statuses = statuses.ToImmutable(),
            Samples = samples,
        });
    }

    /// <summary>A name is given once, in all files. The rules of the build come last, and it is not for them to have another.</summary>
    private void FaultName(string name)
    {
        (ReplyRuleSource source, int line) = _names[name];
        if (source == _source)
            Fault($"rule: the name {name} is given in line {line} already: each rule has its own");
        else if (_source.IsTested)
            Add(new ReplyRuleFault(source.Name, line, $"rule: a rule of this build is called {name}: another name is expected"));
        else
            Fault($"rule: the name {name} is given in {source.Name} already: each rule has its own");
    }

    /// <summary>Once all hosts are read: providers that nobody is would make a rule one for nobody.</summary>
    private void CheckProviders(ReadOnlySpan<ReplyRuleSource> sources)
    {
        string[] known = [.. _hosts.Values.Concat(_rules.Select(static rule => rule.Is).OfType<string>()).Distinct()];
        foreach (ReplyRuleSource source in sources)
        {
            if (source.IsTested)
                continue;
            foreach (ReplyRule rule in _rules.Where(rule => rule.File == source.Name))
            {
                foreach (string provider in rule.Providers.Concat(rule.Samples.Select(static sample => sample.Provider)).Distinct())
                {
                    if (ProviderName.WhyUnknown(provider, known) is { } why)
                        Add(new ReplyRuleFault(source.Name, rule.Line, $"provider: {why}"));
                }
            }
        }
    }

    private ImmutableArray<ReplySample> Samples(JsonElement row, ImmutableArray<string> providers, ImmutableArray<DeliveryStage>.Builder stages)
    {
        string provider = providers.IsEmpty ? "example.net" : providers[0];
        DeliveryStage stage = stages.Count == 0 ? DeliveryStage.Rcpt : stages[0];
        if (!row.TryGetProperty("samples", out JsonElement list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() is 0 or > MaxSamples)
        {
            Fault($"samples: a list of 1 to {MaxSamples} replies that the rule is to match is expected, for instance [\"550 5.7.1 Blocked\"]");
            return [];
        }
        var samples = ImmutableArray.CreateBuilder<ReplySample>(list.GetArrayLength());
        foreach (JsonElement item in list.EnumerateArray())
        {
            if (item.ValueKind is not (JsonValueKind.String or JsonValueKind.Object) || (item.ValueKind == JsonValueKind.Object && !Known(item, SampleKeys)))
            {
                Fault("samples: a reply, or an object with reply and what is to be found in it (provider, stage, code, list, url), is expected");
                continue;
            }
            bool isPlain = item.ValueKind == JsonValueKind.String;
            string reply = (isPlain ? item.GetString() : Text(item, "reply")) ?? "";
            DeliveryStage at = stage;
            if (!isPlain && Text(item, "stage") is { } word && !TryStage(word, out at))
                Fault($"samples: stage is '{Printable(word)}': one of {StageNames} is expected");
            if (reply.Length > MaxSample || TryReply(reply) is null)
                Fault($"samples: '{Printable(reply)}' is no refusal: lines such as \"550-5.7.1 some text\\n550 5.7.1 more\", all with the same code, are expected");
            samples.Add(isPlain
                ? new ReplySample(reply, provider, at, null, null, null)
                : new ReplySample(reply, Text(item, "provider") ?? provider, at, Text(item, "code"), Text(item, "list"), Text(item, "url")));
        }
        return samples.ToImmutable();
    }

    /// <summary>Has the whole list of rules look at each sample of one file.</summary>
    private void Test(ReplyRules rules, string file)
    {
        foreach (ReplyRule rule in rules.Rules)
        {
            if (rule.File != file)
                continue;
            foreach (ReplySample sample in rule.Samples)
            {
                if (WhyNot(rules, rule, sample) is { } fault)
                    Add(new ReplyRuleFault(file, rule.Line, $"rule {rule.Name}: the sample '{Printable(sample.Reply)}' {fault}"));
            }
        }
    }

    /// <summary>What of a sample is not found as it says, or null.</summary>
    internal static string? WhyNot(ReplyRules rules, ReplyRule rule, ReplySample sample)
    {
        ReplyFinding found = rules.Classify(sample.Provider, sample.Stage, TryReply(sample.Reply)!);
        if (found.Rule != rule.Name)
            return found.Rule is { } other ? $"is matched by the rule {other} before it" : "is not matched by it";
        foreach ((string what, string? expected, string? actual) in new[] { ("code", sample.Code, found.Code), ("list", sample.List, found.List), ("url", sample.Url, found.Url) })
        {
            if (expected is not null && !expected.Equals(actual, StringComparison.OrdinalIgnoreCase))
                return $"gives the {what} {actual ?? "none"}, not {expected}";
        }
        return null;
    }

    private ReplyPattern? Pattern(JsonElement row)
    {
        string pattern = Text(row, "text") ?? "";
        if (pattern.Length is 0 or > MaxPattern)
        {
            Fault($"text: a regular expression of 1 to {MaxPattern} characters is expected");
            return null;
        }
        try
        {
            if (!_source.IsTested)
                _ = ReplyPattern.Make(pattern);
            return new ReplyPattern(pattern);
        }
        catch (RegexParseException error)
        {
            Fault($"text: no regular expression, at character {error.Offset}: {error.Error}");
        }
        catch (NotSupportedException)
        {
            Fault("text: lookahead, lookbehind, backreferences and atomic groups are not to be had, nor very large repeats: put what is excepted into a rule before it");
        }
        return null;
    }

    private bool Known(JsonElement row, string[] keys)
    {
        foreach (JsonProperty property in row.EnumerateObject())
        {
            if (keys.Contains(property.Name))
                continue;
            Fault($"'{Printable(property.Name)}' is not known here: {string.Join(", ", keys)}");
            return false;
        }
        return true;
    }

    private string? Slug(JsonElement row, string key)
    {
        string? text = Text(row, key);
        if (text is { Length: > 0 and <= 64 } && text.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '.' or '_'))
            return text;
        Fault($"{key} is '{Printable(text ?? "")}': a name of a-z, 0-9, - and . is expected, 64 characters at most");
        return null;
    }

    private string? Text(JsonElement row, string key)
    {
        if (!row.TryGetProperty(key, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.String)
            return value.GetString();
        Fault($"{key}: a text is expected");
        return null;
    }

    /// <summary>A text, or a list of them; empty when it is missing.</summary>
    private ImmutableArray<string> Texts(JsonElement row, string key)
    {
        if (!row.TryGetProperty(key, out JsonElement value))
            return [];
        if (value.ValueKind == JsonValueKind.String)
            return [value.GetString()!];
        if (value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(static item => item.ValueKind == JsonValueKind.String))
            return [.. value.EnumerateArray().Select(static item => item.GetString()!)];
        Fault($"{key}: a text or a list of texts is expected");
        return [];
    }

    private void Fault(string text) => Add(new ReplyRuleFault(_source.Name, _line, text));

    private void Add(ReplyRuleFault fault)
    {
        if (_faults.Count < MaxFaults)
            _faults.Add(fault);
    }

    private static string Printable(string text) => RelayGate.Core.Messages.PrintableText.Clean(text.Length > 80 ? text[..80] + "…" : text, '?');
}
