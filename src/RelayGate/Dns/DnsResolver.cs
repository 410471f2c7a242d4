using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Dns;

namespace RelayGate.Dns;

/// <summary>A stub resolver: asks recursive servers, keeps answers for their lifetime, asks equal questions once at a time.</summary>
/// <remarks>
/// Bounds: 10,000 answers; a question costs at most two rounds over three servers, 3 s and 5 s each. It never throws for what a server does:
/// that nobody could say is an answer too (<see cref="DnsOutcome.Failed"/>), kept for 10 s, so that a dead resolver is not asked for each message.
/// </remarks>
/// <param name="maxAnswers">Answers kept at most.</param>
public sealed class DnsResolver(DnsServers servers, TimeProvider time, int maxAnswers = DnsResolver.MaxAnswers)
{
    private const int MaxAnswers = 10_000;

    private static readonly TimeSpan[] Rounds = [TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(5)];

    private readonly Lock _lock = new();
    private readonly Dictionary<DnsQuestion, (DnsAnswer Answer, long KeptAt)> _answers = [];
    private readonly Dictionary<DnsQuestion, Task<DnsAnswer>> _asking = [];
    private readonly DnsExchange _exchange = new(time);

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
        for (int aliases = 0; answer.IsPartial; aliases++)
        {
            if (aliases == DnsAnswer.MaxAliases)
                return DnsAnswer.Failure(question.Name, $"DNS gives more than {DnsAnswer.MaxAliases} aliases for {question}");
            answer = await AskServersAsync(question with { Name = answer.Name });
            lifetime = answer.Lifetime < lifetime || answer.Outcome != DnsOutcome.Found ? answer.Lifetime : lifetime;
        }
        return answer with { Lifetime = lifetime };
    }

    private async Task<DnsAnswer> AskServersAsync(DnsQuestion question)
    {
        DnsAnswer? failed = null;
        ImmutableArray<IPEndPoint> asked = [];
        foreach (TimeSpan limit in Rounds)
        {
            asked = servers.Current;
            foreach (IPEndPoint server in asked)
            {
                if (await _exchange.AskAsync(server, question, limit) is not { } response)
                    continue;
                DnsAnswer answer = DnsAnswer.Read(question, response);
                if (answer.Outcome != DnsOutcome.Failed)
                    return answer;
                failed = answer with { Fault = $"DNS server {server} {answer.Fault}" };
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
