using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Replay;

namespace RelayGate.Admin;

/// <summary>What other limits would have done: lines <c>{"share":…,"records":…}</c> while it runs, and last the report. Changes nothing.</summary>
internal sealed class SimulationApi(LimitReplay replay, AccountAdministration accounts, TimeProvider time)
{
    private const int MaxProposals = 100;

    private static readonly TimeSpan DefaultTime = TimeSpan.FromDays(7);
    private static readonly TimeSpan BetweenLines = TimeSpan.FromMilliseconds(100);

    private int _running; // One at a time: each may take a core and 150 MiB.

    public void Map(AdminDispatcher api) => api.Stream("limits/simulate", r => SimulateAsync(r, r.Aborted));

    private async IAsyncEnumerable<JsonNode> SimulateAsync(AdminRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        List<LimitProposal> proposals = Proposals(request.Queries("set"));
        foreach (LimitProposal proposal in proposals)
        {
            if (proposal.Name is not null)
                AdminJson.Value(await accounts.ShowLimitAsync(new AccountKey(proposal.Level, proposal.Name), cancellationToken)); // It exists.
        }
        OverLimitAction? over = request.Query("over") is { } action ? AdminJson.Choice<OverLimitAction>("over", action) : null;
        DateTimeOffset now = time.GetUtcNow();
        DateTimeOffset since = request.Time("since") ?? now - DefaultTime;
        if (since >= now)
            throw AdminRequest.Bad("since is not in the past: there is nothing to replay");
        if (Interlocked.Exchange(ref _running, 1) != 0)
            throw new ProblemException(Problem.Conflict("another simulation runs; wait until it ends"));
        try
        {
            long told = 0;
            await foreach (ReplayStep step in Steps(proposals, over, since, cancellationToken))
            {
                if (step.Report is { } report)
                    yield return Json(report);
                else if (told == 0 || time.GetElapsedTime(told) >= BetweenLines)
                {
                    told = time.GetTimestamp();
                    yield return new JsonObject { ["share"] = Math.Round(step.Share, 4), ["records"] = step.Records };
                }
            }
        }
        finally
        {
            Volatile.Write(ref _running, 0);
        }
    }

    private async IAsyncEnumerable<ReplayStep> Steps(
        List<LimitProposal> proposals, OverLimitAction? over, DateTimeOffset since, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using IAsyncEnumerator<ReplayStep> steps = replay.RunAsync(proposals, over, since, cancellationToken).GetAsyncEnumerator(cancellationToken);
        while (true)
        {
            try
            {
                if (!await steps.MoveNextAsync())
                    yield break;
            }
            catch (ReplayException error)
            {
                throw new ProblemException(Problem.Conflict(error.Message));
            }
            yield return steps.Current;
        }
    }

    private static List<LimitProposal> Proposals(IReadOnlyList<string> texts)
    {
        if (texts.Count is 0 or > MaxProposals)
            throw AdminRequest.Bad(texts.Count == 0 ? "set is missing: say which limits to try, for instance domain=100/h" : $"set: at most {MaxProposals} limits can be tried at once");
        var proposals = new List<LimitProposal>();
        foreach (string text in texts)
        {
            if (!LimitProposal.TryParse(text, out LimitProposal? proposal, out string? fault))
                throw AdminRequest.Bad(fault);
            if (proposals.Any(p => p.Level == proposal.Level && p.Name == proposal.Name))
                throw AdminRequest.Bad($"'{AccountNames.Printable(text)}': this limit is set twice; give all its values in one, with commas");
            proposals.Add(proposal);
        }
        return proposals;
    }

    private static JsonObject Json(ReplayReport report) => new()
    {
        ["since"] = AdminJson.Time(report.Since),
        ["until"] = AdminJson.Time(report.Until),
        ["records"] = report.Records,
        ["leftOut"] = report.LeftOut,
        ["offered"] = Json(report.Offered),
        ["stopped"] = Json(report.Stopped),
        ["newlyStopped"] = Json(report.NewlyStopped),
        ["newlyPassed"] = Json(report.NewlyPassed),
        ["first"] = report.First is { } first ? AdminJson.Time(first) : null,
        ["levels"] = new JsonArray([.. report.Levels.Select(l => (JsonNode)new JsonObject { ["level"] = AdminJson.Word(l.Level), ["seen"] = l.Seen, ["hit"] = l.Hit })]),
        ["items"] = new JsonArray([.. report.Items.Select(i => (JsonNode)Json(i))]),
        ["itemsOmitted"] = report.ItemsOmitted,
    };

    private static JsonObject Json(ReplayItem item) => new()
    {
        ["object"] = item.Key.ToString(),
        ["level"] = AdminJson.Word(item.Key.Level),
        ["name"] = item.Key.Name,
        ["limit"] = item.Limit,
        ["origin"] = item.Origin,
        ["over"] = AdminJson.Word(item.Over),
        ["first"] = AdminJson.Time(item.First),
        ["stopped"] = Json(item.Stopped),
        ["newlyStopped"] = Json(item.Newly),
    };

    private static JsonObject Json(MailCount count) => new() { ["messages"] = count.Messages, ["recipients"] = count.Recipients };
}
