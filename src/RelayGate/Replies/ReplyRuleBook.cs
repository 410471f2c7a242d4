using System.Collections.Immutable;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;
using RelayGate.Telemetry;

namespace RelayGate.Replies;

/// <summary>The rules on replies in force: those of this build, behind those of <c>Delivery:ReplyRules</c>, which are looked at every minute. A bad file changes nothing.</summary>
public sealed class ReplyRuleBook : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Lock _loading = new();
    private readonly string? _path;
    private readonly ILogger<ReplyRuleBook> _logger;
    private readonly ITimer? _timer;
    private volatile ReplyRules _current;
    private FileState _loaded;

    /// <exception cref="FormatException">The file of the configuration has faults, or cannot be read; the text says which.</exception>
    public ReplyRuleBook(DeliveryOptions options, TimeProvider time, ILogger<ReplyRuleBook> logger)
    {
        _path = options.ReplyRules;
        _logger = logger;
        ReplyRuleReading reading = Load();
        _current = reading.Rules ?? throw new FormatException(string.Join("; ", reading.Faults));
        if (_path is not null)
            _timer = time.CreateTimer(static self => ((ReplyRuleBook)self!).ReloadIfChanged(), this, Interval, Interval);
    }

    /// <summary>One snapshot: a question and its follow-up are put to the same one.</summary>
    public ReplyRules Current => _current;

    /// <summary>The file of the configuration, or null.</summary>
    public string? Path => _path;

    /// <summary>What a reply of a next hop is about; null where it is positive.</summary>
    /// <param name="provider">Who runs it.</param>
    public ReplyFinding? Find(string provider, DeliveryStage stage, SmtpReply reply) => reply.IsPositive ? null : _current.Classify(provider, stage, reply);

    /// <summary>Reads the file anew, changed or not.</summary>
    /// <returns>What is wrong with it; empty when its rules are in force now.</returns>
    public ImmutableArray<ReplyRuleFault> Reload()
    {
        lock (_loading)
        {
            ReplyRuleReading reading = Load();
            if (reading.Rules is { } rules)
            {
                _current = rules;
                if (_path is not null)
                    Log.ReplyRulesLoaded(_logger, _path, rules.Rules.Length);
            }
            else
            {
                Log.ReplyRulesNotLoaded(_logger, string.Join("; ", reading.Faults));
            }
            return reading.Faults;
        }
    }

    public void Dispose() => _timer?.Dispose();

    private void ReloadIfChanged()
    {
        lock (_loading)
        {
            if (ReadState() == _loaded)
                return;
        }
        Reload();
    }

    private ReplyRuleReading Load()
    {
        if (_path is null)
            return ReplyRuleReader.Read(ReplyRuleReader.BuiltIn);
        _loaded = ReadState(); // A bad file is reported once, not every minute.
        return TryRead(_path, out string text) is { } fault ? new ReplyRuleReading(null, [fault]) : ReplyRuleReader.Read(new ReplyRuleSource(_path, text), ReplyRuleReader.BuiltIn);
    }

    /// <summary>Reads a file of rules, up to a bound.</summary>
    /// <returns>Why it cannot be read, or null.</returns>
    public static ReplyRuleFault? TryRead(string path, out string text)
    {
        text = "";
        if (Directory.Exists(path))
            return new ReplyRuleFault(path, null, "this is a folder, and a file of rules is expected");
        try
        {
            using FileStream stream = File.OpenRead(path);
            if (stream.CanSeek && stream.Length > 4L * ReplyRuleReader.MaxCharacters)
                return new ReplyRuleFault(path, null, $"the file has {stream.Length} octets: {ReplyRuleReader.MaxCharacters} characters at most");
            using var reader = new StreamReader(stream);
            text = reader.ReadToEnd();
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return new ReplyRuleFault(path, null, error is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : "the file cannot be read by this user");
        }
    }

    private FileState ReadState()
    {
        var file = new FileInfo(_path!);
        return file.Exists ? new FileState(file.LastWriteTimeUtc, file.Length) : default;
    }

    private readonly record struct FileState(DateTime Written, long Octets);
}
