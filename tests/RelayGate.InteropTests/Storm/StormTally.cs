using System.Collections.Concurrent;
using System.Text.RegularExpressions;

namespace RelayGate.InteropTests.Storm;

/// <summary>What became of one recipient of one message, as the receivers know it.</summary>
internal sealed class StormFate
{
    private int _confirmed;
    private int _unconfirmed;
    private int _reports;

    /// <summary>Copies that were taken and answered with 250.</summary>
    public int Confirmed => Volatile.Read(ref _confirmed);

    /// <summary>Copies that were taken and whose reply was withheld: the sender cannot know of them.</summary>
    public int Unconfirmed => Volatile.Read(ref _unconfirmed);

    /// <summary>Reports of its failure.</summary>
    public int Reports => Volatile.Read(ref _reports);

    public void Confirm() => Interlocked.Increment(ref _confirmed);

    public void TakeUnconfirmed() => Interlocked.Increment(ref _unconfirmed);

    public void Report() => Interlocked.Increment(ref _reports);
}

/// <summary>The fates of all messages of a storm, by Message-ID and recipient.</summary>
internal sealed partial class StormTally
{
    private readonly ConcurrentDictionary<(string Id, string Recipient), StormFate> _fates = new();
    private readonly ConcurrentDictionary<string, bool> _reports = new();
    private int _settled;
    private int _confirmed;

    /// <summary>Recipients with a confirmed delivery or a report.</summary>
    public int Settled => Volatile.Read(ref _settled);

    public int Confirmed => Volatile.Read(ref _confirmed);

    public int Expected => _fates.Count;

    public IEnumerable<(string Id, string Recipient, StormFate Fate)> All => _fates.Select(f => (f.Key.Id, f.Key.Recipient, f.Value));

    /// <summary>What came that nobody had sent.</summary>
    public ConcurrentQueue<string> Strange { get; } = new();

    public void Expect(string id, string recipient) => Assert.True(_fates.TryAdd((id, recipient), new StormFate()));

    public static string IdOf(string message) => StormId().Match(message).Value;

    /// <param name="confirmed">Whether 250 was sent.</param>
    public void Take(string message, IReadOnlyList<string> recipients, bool confirmed)
    {
        string id = IdOf(message);
        foreach (string recipient in recipients)
        {
            if (!_fates.TryGetValue((id, recipient), out StormFate? fate))
                Strange.Enqueue($"{id} to {recipient}");
            else if (!confirmed)
                fate.TakeUnconfirmed();
            else
                Settle(fate, fate.Confirm, ref _confirmed);
        }
    }

    /// <summary>A report reached the sender. One that comes twice because of a kill has the same Message-ID and counts once.</summary>
    public void TakeReport(string message)
    {
        string own = message.Split("\r\n").FirstOrDefault(l => l.StartsWith("Message-ID:", StringComparison.OrdinalIgnoreCase)) ?? "";
        if (!_reports.TryAdd(own, true))
            return;
        string id = IdOf(message);
        int ignored = 0;
        foreach (Match match in FinalRecipient().Matches(message))
        {
            if (_fates.TryGetValue((id, match.Groups["recipient"].Value), out StormFate? fate))
                Settle(fate, fate.Report, ref ignored);
            else
                Strange.Enqueue($"report of {id} to {match.Groups["recipient"].Value}");
        }
    }

    private void Settle(StormFate fate, Action note, ref int counter)
    {
        lock (fate)
        {
            if (fate.Confirmed + fate.Reports == 0)
                Interlocked.Increment(ref _settled);
            note();
        }
        Interlocked.Increment(ref counter);
    }

    [GeneratedRegex(@"<storm\.\d+@shop\.test>")]
    private static partial Regex StormId();

    [GeneratedRegex(@"^Final-Recipient: rfc822; ?(?<recipient>\S+)\r\nAction: failed\r\n", RegexOptions.Multiline | RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture)]
    private static partial Regex FinalRecipient();
}
