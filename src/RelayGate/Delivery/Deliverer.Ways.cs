using RelayGate.Core.Mail;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>The recipients of a job that go by the same way now, and that way.</summary>
/// <param name="Plan">Null: not looked up yet, all recipients have the same domain or route.</param>
/// <param name="Wait">Their domain is suspended by hand: they are put off. Null: it is not.</param>
internal sealed record JobPart(DeliveryJob Job, NextHopPlan? Plan, PutOff? Wait = null);

/// <summary>The part that looks whether all of a job still goes by one way.</summary>
internal sealed partial class Deliverer
{
    /// <summary>
    /// Jobs are put together by what was known of routes and sites then. Recipients that go by another way by now are attempted by themselves: the parts
    /// are all of the job, each recipient once.
    /// </summary>
    public async ValueTask<IReadOnlyList<JobPart>> PartsOfAsync(DeliveryJob job, CancellationToken cancellationToken)
    {
        if (suspended is null or { IsNone: true })
            return await WaysOfAsync(job, cancellationToken);
        var parts = new List<JobPart>();
        PutOff? WaitOf(QueuedRecipient recipient) => suspended.WaitForDomain(recipient.ForwardPath.Address.Domain?.Value ?? recipient.ForwardPath.Address.DomainText);
        foreach (IGrouping<WaitKey?, QueuedRecipient> group in job.Recipients.GroupBy(r => WaitOf(r)?.WaitsFor))
        {
            DeliveryJob some = job.For([.. group]);
            if (WaitOf(group.First()) is { } wait)
                parts.Add(new JobPart(some, null, wait));
            else
                parts.AddRange(await WaysOfAsync(some, cancellationToken));
        }
        return parts;
    }

    private async ValueTask<IReadOnlyList<JobPart>> WaysOfAsync(DeliveryJob job, CancellationToken cancellationToken)
    {
        string subscription = job.Message.Subscription;
        if (job.Recipients.Length == 1)
            return [new JobPart(job, null)];
        QueuedRecipient[][] ways = [.. job.Recipients.GroupBy(r => resolver.WayOf(subscription, r.ForwardPath)).Select(static way => way.ToArray())];
        if (ways.Length == 1)
            return [new JobPart(job, null)];
        NextHopPlan[] plans = await Task.WhenAll(ways.Select(way => ResolveAsync(subscription, way[0].ForwardPath, cancellationToken)));
        var parts = new List<JobPart>();
        for (int i = 0; i < ways.Length; i++)
        {
            int same = parts.Count - 1;
            while (same >= 0 && !await IsSameWayAsync(parts[same].Plan!, plans[i], TlsDemand.Of(job.Message), cancellationToken))
                same--;
            if (same < 0)
                parts.Add(new JobPart(job.For([.. ways[i]]), plans[i]));
            else
                parts[same] = parts[same] with { Job = job.For(parts[same].Job.Recipients.AddRange(ways[i])) };
        }
        return parts.Count == 1 ? [new JobPart(job, parts[0].Plan)] : parts;
    }

    /// <summary>Domains of one site may ask for different things of TLS (MTA-STS is a domain's): then they share nothing.</summary>
    private async ValueTask<bool> IsSameWayAsync(NextHopPlan one, NextHopPlan other, TlsDemand demand, CancellationToken cancellationToken)
    {
        if (!one.IsSameWay(other))
            return false;
        foreach (NextHopAddress address in one.Addresses)
        {
            TlsDecision first = await tlsPlanner.DecideAsync(one, address, demand, cancellationToken);
            TlsDecision second = await tlsPlanner.DecideAsync(other, address, demand, cancellationToken);
            if (first.Policy != second.Policy || first.Refusal?.Status != second.Refusal?.Status)
                return false;
        }
        return true;
    }

    private async Task<NextHopPlan> ResolveAsync(string subscription, ForwardPath recipient, CancellationToken cancellationToken)
    {
        NextHopPlan plan = await resolver.ResolveAsync(subscription, recipient, cancellationToken);
        if (plan.Site.Length > 0 && !plan.Addresses[0].IsSmarthost && recipient.Address.Domain is { } domain)
            SiteFound?.Invoke(domain.Value, plan.Site);
        return plan;
    }
}
