using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Dns;

namespace RelayGate.Dns;

/// <summary>A stub resolver: asks recursive servers, keeps answers for their lifetime, asks equal questions once at a time.</summary>
/// <remarks>
/// Bounds: 10,000 answers; a question costs at most two rounds over three servers, 3 s and 5 s each. It never throws for what a server does:
/// that nobody could say is an answer too (<see cref="DnsOutcome.Failed"/>), kept for 10 s, so that a dead resolver is not asked for each message.
/// An answer of more than 8 KiB is not kept. <see cref="DnsAnswer.IsAuthentic"/> is set only where the servers are trusted.
/// </remarks>
/// <param name="maxAnswers">Answers kept at most.</param>
public sealed class DnsResolver(DnsServers servers, TimeProvider time, int maxAnswers = DnsResolver.MaxAnswers)
{
    private const int MaxAnswers = 10_000;
    private const int MaxKeptOctets = 8 * 1024; // All answers together: 80 MiB at the very most.

    private static readonly TimeSpan[] Rounds = [TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(5)];

    private readonly Lock _lock = new();
    private readonly Dictionary<DnsQuestion, (DnsAnswer Answer, long KeptAt)> _answers = [];
    private readonly Dictionary<DnsQuestion, Task<DnsAnswer>> _asking = [];
    private readonly DnsExchange _exchange = new(time);
    private int _first; // Index of the server that answered last, where an earlier one did not: it is asked first.

    /// <summary>Whether answers can be authentic at all (RFC 7672 §2.2: DANE needs that).</summary>
    public bool IsTrusted => servers.AreTrusted;

    /// <summary>Answers kept now.</summary>
    public int Kept
    {
        get
        {
            lock (_lock)
                return _answers.Count;
        }
    }

    /// <summary>Answers from memory or asks. Never throws for what a server does.</summary>
    /// <param name="cancellationToken">Ends this wait; the question goes on for those who wait with us.</param>
    public ValueTask<DnsAnswer> ResolveAsync(DnsQuestion question, CancellationToken cancellationToken)
    {
        Task<DnsAnswer>? asking;
        lock (_lock)
        {
            if (_answers.TryGetValue(question, out (DnsAnswer Answer, long KeptAt) kept))
            {
                if (time.GetElapsedTime(kept.KeptAt) < kept.Answer.Lifetime)
                    return new(kept.Answer);
                _answers.Remove(question);
            }
            if (!_asking.TryGetValue(question, out asking))
            {
                asking = Task.Run(() => AskAndKeepAsync(question), CancellationToken.None);
                _asking.Add(question, asking);
            }
        }
        return new(asking.WaitAsync(cancellationToken));
    }

    private async Task<DnsAnswer> AskAndKeepAsync(DnsQuestion question)
    {
        DnsAnswer answer = DnsAnswer.Failure(question.Name, $"Asking DNS about {question} failed");
        try
        {
            answer = await FollowAsync(question);
        }
        finally
        {
            lock (_lock)
            {
                _asking.Remove(question);
                if (_answers.Count >= maxAnswers)
                    MakeRoom();
                if (answer.Octets <= MaxKeptOctets)
                    _answers[question] = (answer, time.GetTimestamp());
            }
        }
        return answer;
    }

    /// <summary>Asks, and asks for the target where a server gives an alias and no more.</summary>
    private async Task<DnsAnswer> FollowAsync(DnsQuestion question)
    {
        DnsAnswer answer = await AskServersAsync(question);
        TimeSpan lifetime = answer.Lifetime;
        bool isAuthentic = answer.IsAuthentic;
        for (int aliases = 0; answer.IsPartial; aliases++)
        {
            if (aliases == DnsAnswer.MaxAliases)
                return DnsAnswer.Failure(question.Name, $"DNS gives more than {DnsAnswer.MaxAliases} aliases for {question}");
            answer = await AskServersAsync(question with { Name = answer.Name });
            lifetime = answer.Lifetime < lifetime || answer.Outcome != DnsOutcome.Found ? answer.Lifetime : lifetime;
            isAuthentic &= answer.IsAuthentic; // One link that is not secure makes the chain insecure.
        }
        return answer with { Lifetime = lifetime, IsAuthentic = isAuthentic };
    }

    private async Task<DnsAnswer> AskServersAsync(DnsQuestion question)
    {
        DnsAnswer? failed = null;
        ImmutableArray<IPEndPoint> asked = [];
        foreach (TimeSpan limit in Rounds)
        {
            DnsServers.Snapshot now = servers.Now;
            asked = now.Servers;
            int first = Volatile.Read(ref _first);
            for (int i = 0; i < asked.Length; i++)
            {
                int index = (first + i) % asked.Length;
                if (await _exchange.AskAsync(asked[index], question, limit, wantsDnssec: now.AreTrusted) is not { } response)
                    continue;
                DnsAnswer answer = DnsAnswer.Read(question, response);
                if (answer.Outcome != DnsOutcome.Failed)
                {
                    if (i > 0)
                        Volatile.Write(ref _first, index); // The one before is down or broken: it would cost every question its time limit.
                    return now.AreTrusted ? answer : answer with { IsAuthentic = false };
                }
                failed = answer with { Fault = $"DNS server {asked[index]} {answer.Fault}" };
            }
        }
        return failed ?? DnsAnswer.Failure(question.Name, $"No answer from DNS server {string.Join(", ", asked)} about {question}");
    }

    /// <summary>Drops what is over its lifetime, and if that is not enough a tenth of the rest.</summary>
    private void MakeRoom()
    {
        foreach ((DnsQuestion question, (DnsAnswer answer, long keptAt)) in _answers)
        {
            if (time.GetElapsedTime(keptAt) >= answer.Lifetime)
                _answers.Remove(question); // Allowed while enumerating, since .NET Core 3.0.
        }
        if (_answers.Count < maxAnswers)
            return;
        foreach (DnsQuestion question in _answers.Keys.Take(Math.Max(1, maxAnswers / 10)).ToArray())
            _answers.Remove(question);
    }
}
