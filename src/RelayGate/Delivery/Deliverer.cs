using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Delivery;

/// <summary>Makes one delivery attempt: finds the next hop, takes a session from the right address, runs the transaction, tries other hosts.</summary>
internal sealed partial class Deliverer(
    NextHopResolver resolver, TlsPlanner tlsPlanner, EgressPermission mayLeaveFrom, IPv6Switch ipv6OffBy, LocalAddresses local, ConnectionPool pool, SuspendedDestinations? suspended, EgressStates states, DeliveryOptions options, RelayGateMetrics metrics, TimeProvider time)
{
    /// <summary>After which mail whose address is missing is looked at again in any case; it goes on at once when the address is back. 15 min.</summary>
    private static readonly TimeSpan MissingWait = TimeSpan.FromMinutes(15);

    /// <summary>By which families sites are reached.</summary>
    internal FamilyHealth Health { get; } = new(time);

    /// <summary>Hears of each smarthost that would not have us log in as configured; must not block.</summary>
    public Action<LoginRefusal>? LoginRefused { get; init; }

    /// <summary>Hears by which hosts a domain is served: domain and <see cref="NextHopPlan.Site"/>. Must not block.</summary>
    public Action<string, string>? SiteFound { get; init; }

    /// <summary>
    /// Tries the addresses in order until every recipient has an outcome: a refusal or acceptance of a recipient is final,
    /// connection problems and a temporary refusal of the session or of MAIL go on to the next address (RFC 5321 §5.1), but for a refusal of our own
    /// address: then only from another address of ours, or to another provider.
    /// </summary>
    /// <param name="part">All its recipients go by the same way.</param>
    /// <param name="result">Filled on the way, so that what was won before an exception is not lost with it.</param>
    public async Task AttemptAsync(JobPart part, AttemptResult result, CancellationToken cancellationToken)
    {
        DeliveryJob job = part.Job;
        QueuedMessage message = job.Message;
        if (message.Egress.MustWait)
        {
            var waitsFor = WaitKey.Egress(message.Subscription, EgressOrders.DomainOf(message.CountedAt));
            result.PutOff(new PutOff(waitsFor, time.GetUtcNow() + MissingWait, "4.3.5", "There is no address that its mail may leave from", WaitCause.Missing) { IsOpenEnded = true });
            return;
        }
        if (part.Wait is { } byHand)
        {
            result.PutOff(byHand);
            return;
        }
        NextHopPlan plan = part.Plan ?? await ResolveAsync(message.Subscription, job.Recipients[0].ForwardPath, cancellationToken);
        if (plan.Failure is { } failure)
        {
            result.DecideRest(failure);
            return;
        }
        await TryAddressesAsync(job, result, plan, cancellationToken);
        result.Close();
    }

    private async ValueTask TryAddressesAsync(DeliveryJob job, AttemptResult result, NextHopPlan plan, CancellationToken cancellationToken)
    {
        EgressChoice egress = job.Message.Egress;
        string? off = plan.Addresses.Any(IsIPv6) ? await ipv6OffBy(job.Message.Subscription, cancellationToken) : null;
        result.Provider = plan.Addresses[0].Provider;
        IPAddress? missing = null;
        (PutOff Wait, string Provider)? byHand = null;
        bool MayUse(NextHopAddress address)
        {
            if (suspended?.WaitForProvider(address.Provider) is { } wait)
            {
                byHand ??= (wait, address.Provider);
                return false;
            }
            if (IPv6OffBy(address, off) is not null || EgressBinding.For(egress, address.EndPoint.AddressFamily) is not { } binding)
                return false;
            if (binding.Address is not { } needed || !local.IsMissing(needed))
                return true;
            missing = needed;
            return false;
        }
        ImmutableArray<NextHopAddress> addresses = pool.InOrder(plan, egress);
        string site = plan.Site.Length > 0 ? plan.Site : plan.Addresses[0].Host;
        var connects = new FamilyConnects();
        using var turn = new EgressTurn(states, job);
        foreach (NextHopAddress address in AddressOrder.Of(
            addresses.All(MayUse) ? addresses : [.. addresses.Where(MayUse)], family => Health.IsFailing(egress.For(family)?.Address, site, family)))
        {
            EgressBinding binding = EgressBinding.For(egress, address.EndPoint.AddressFamily)!;
            if (!MayUse(address) || !turn.MayDial(binding, address))
                continue; // Found missing, suspended or refused just now; or it is to wait.
            TlsDecision tls = await tlsPlanner.DecideAsync(plan, address, TlsDemand.Of(job.Message), cancellationToken);
            if (tls.Refusal is { } passedOver)
            {
                PassOver(result, plan, address, tls, passedOver);
                continue;
            }
            HostEnd end = await TryAddressAsync(job, result, binding, plan, address.Under(tls.Policy), tls, cancellationToken);
            if (end == HostEnd.Busy)
                continue;
            if (end == HostEnd.Denied)
                turn.Bar(binding, address);
            else if (end != HostEnd.Missing)
                connects.Note(address, hasConnected: result.Stage != DeliveryStage.Connect);
            turn.Report(result);
            if (end == HostEnd.Final || !result.WantsNextHost)
                break;
        }
        connects.Tell(Health, egress, site);
        if (result.Busy is { } busy)
            result.PutOff(NoConnection(busy, time.GetUtcNow() - result.Waited), busy.Provider);
        turn.End(result);
        if (!result.IsEmpty)
            return;
        foreach (NextHopAddress address in plan.Addresses)
            MayUse(address); // What was found missing on the way counts too.
        if (missing is not null)
            result.PutOff(new PutOff(WaitKey.Ip(missing), time.GetUtcNow() + MissingWait, "4.3.5", EgressSocket.NotOnThisHost(missing).Outcome.Text, WaitCause.Missing) { IsOpenEnded = true });
        else if (byHand is var (untilResumed, provider))
            result.PutOff(untilResumed, provider);
        else
            result.DecideRest(RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.5", NoWay(egress, plan, plan.Addresses.Select(a => IPv6OffBy(a, off)).FirstOrDefault(static by => by is not null))));
    }

    /// <summary>Who has switched IPv6 off for an address, as it is told; null: it is not an IPv6 address, or may be used.</summary>
    /// <param name="all">Who has for all addresses; null: nobody.</param>
    private string? IPv6OffBy(NextHopAddress address, string? all) =>
        !IsIPv6(address) ? null : options.HasIPv6Off(address.Provider) ? $"provider {address.Provider}" : all;

    private static bool IsIPv6(NextHopAddress address) => address.EndPoint.AddressFamily == AddressFamily.InterNetworkV6;

    /// <summary>How it ended with one address.</summary>
    private enum HostEnd
    {
        /// <summary>Who is not decided yet goes on to the next address.</summary>
        Next,

        /// <summary>No connection became free: as <see cref="Next"/>, but nobody was tried there.</summary>
        Busy,

        /// <summary>As <see cref="Next"/>, but not from the same local address: it is another subscription's.</summary>
        Denied,

        /// <summary>As <see cref="Next"/>, but nothing was dialled: the local address is not on this host, which says nothing of the other side.</summary>
        Missing,

        /// <summary>Other addresses would fare no better.</summary>
        Final,
    }

    private async ValueTask<HostEnd> TryAddressAsync(
        DeliveryJob job, AttemptResult result, EgressBinding binding, NextHopPlan plan, NextHopAddress address, TlsDecision tls, CancellationToken cancellationToken)
    {
        TimeSpan wait = result.Busy is null ? ConnectionPool.WaitLimit : ConnectionPool.NextWaitLimit;
        string subscription = job.Message.Subscription;
        bool allowTls = true;
        bool allowBdat = true;
        bool fresh = false;
        bool hasTried = false;
        (int[]? subset, int[] later) = FirstOf(OpenRecipients(result), job.Recipients.Length); // Null: all of the job's.
        while (true)
        {
            if (await result.WaitAsync(pool.TakeAsync(binding, address, fresh, wait, cancellationToken)) is not { } session)
            {
                result.Busy ??= address;
                return hasTried ? HostEnd.Next : HostEnd.Busy;
            }
            result.NextHop = address;
            if (result.AddressWait is null)
                result.Provider = address.Provider;
            bool kept = session.WasOpened;
            var transaction = new MailTransaction(job.Message, Select(job.Recipients, subset)) { AllowBdat = allowBdat };
            bool startsAnew = false;
            try
            {
                SessionFailure? notReady = await MakeReadyAsync(session, subscription, allowTls, cancellationToken);
                if (!kept && allowTls && session.Tls is { } outcome)
                    Tell(plan, address, tls, session, outcome);
                if (notReady is { } failure)
                {
                    if (session.TlsHandshakeFailed && allowTls)
                    {
                        allowTls = false;
                        continue;
                    }
                    Note(result, session, tls, failure.Stage);
                    if (failure.IsLoginAtFault)
                        LoginRefused?.Invoke(new LoginRefusal(address, failure.Outcome.Text));
                    if (failure.Egress == EgressFault.NotHere)
                        return NoteMissing(result, binding, failure);
                    if (failure.Egress != EgressFault.None)
                        return Refuse(result, failure);
                    RecipientOutcome unready = WithRequirement(failure.Outcome, job.Message, session);
                    result.RefuseRest(unready);
                    return HostEnd.Next;
                }
                if (!job.TryBegin())
                {
                    result.IsNoAttempt = true; // No host was told of it, and what kept one from being told is nobody's any more.
                    result.DecideRest(RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.0", "Held, deleted or returned by hand before the attempt began"));
                    return HostEnd.Final;
                }
                await session.TransactAsync(transaction);
                if (address.IsSmarthost && NotLoggedIn(transaction) is { } refusal)
                    LoginRefused?.Invoke(new LoginRefusal(address, refusal));
                startsAnew = (kept && !fresh && transaction.EndedUnanswered) || transaction.WantsData;
            }
            finally
            {
                pool.Return(session);
                if (!startsAnew)
                    result.Take(transaction, subset); // Also when an exception ends the attempt here.
            }
            if (transaction.WantsData)
            {
                allowBdat = false;
                continue;
            }
            if (startsAnew)
            {
                // A kept session that the next hop has ended meanwhile is no attempt. Content sent along with MAIL changes nothing: replies come in
                // the order of the commands (RFC 2920 §3.2), so it has said of the content no more than of MAIL: nothing, or 421. Without a positive
                // reply the message must be sent again in any case (RFC 5321 §3.8); that it is sent at once is for one time only.
                fresh = true;
                continue;
            }
            Note(result, session, tls, transaction.Stage);
            bool isHostDone = Array.Exists(transaction.Outcomes, static o => o!.ConcernsEgress) || IsHostAtFault(transaction);
            int[]? tooMany = isHostDone ? null : TooManyAtOnce(transaction, subset);
            result.NoteRefusals(tooMany is null ? transaction.Outcomes : [.. transaction.Outcomes.Select(static o => IsTooMany(o) ? null : o)], subset);
            if (tooMany is null && (later.Length == 0 || isHostDone))
                return HostEnd.Next; // Who has not been tried there goes on to another host, but from a refused address to nobody who refuses it.
            (subset, later) = FirstOf([.. tooMany ?? [], .. later], job.Recipients.Length);
            fresh = false;
            hasTried = true;
        }
    }

    /// <summary>As many recipients as one transaction may have, and the rest.</summary>
    /// <param name="open">Null: all.</param>
    private (int[]? Subset, int[] Later) FirstOf(int[]? open, int all)
    {
        int most = pool.MaxRecipients;
        if ((open?.Length ?? all) <= most)
            return (open, []);
        open ??= [.. Enumerable.Range(0, all)];
        return (open[..most], open[most..]);
    }

    /// <summary>The host could serve nobody, so that those who have not been tried there go on to the next as well.</summary>
    private static bool IsHostAtFault(MailTransaction transaction) =>
        Array.TrueForAll(transaction.Outcomes, static o => o!.Kind == OutcomeKind.NextHost || (o.Kind == OutcomeKind.Deferred && o.Code == 0));

    /// <summary>
    /// Opens a session that is not open yet. Its address may be given away while a message waits, for its time, for a connection or for the next
    /// hop's greeting: it is asked for before it is dialled from, and last before MAIL.
    /// </summary>
    private async ValueTask<SessionFailure?> MakeReadyAsync(SmtpClientSession session, string subscription, bool allowTls, CancellationToken cancellationToken)
    {
        if (!session.WasOpened)
        {
            IPAddress? decided = session.Egress.Address;
            if (decided is not null && await WhyNotAsync(subscription, decided, cancellationToken) is { } denied)
                return denied;
            ValueTask<SessionFailure?> CheckAsync(IPAddress real) => decided is null ? WhyNotAsync(subscription, real, cancellationToken) : default;
            if (await session.OpenAsync(allowTls, CheckAsync) is { } failure)
                return failure;
            local.Used(session.LocalAddress!);
            if (decided is null)
                local.Used(SystemChoice.Of(session.LocalAddress!.AddressFamily));
        }
        return await WhyNotAsync(subscription, session.LocalAddress!, cancellationToken);
    }

    /// <summary>A smarthost that wants a login, or another one (RFC 4954 §6), speaks of our configuration, not of the message: it waits for the repair.</summary>
    /// <returns>What it said; null: it did not.</returns>
    private static string? NotLoggedIn(MailTransaction transaction)
    {
        string? said = null;
        for (int i = 0; i < transaction.Outcomes.Length; i++)
        {
            if (transaction.Outcomes[i] is not { Kind: OutcomeKind.Failed, Code: 530 or 534 or 535 or 538 } refused)
                continue;
            said = refused.Text;
            transaction.Outcomes[i] = refused with { Kind = OutcomeKind.NextHost, Status = "4.7.8" };
        }
        return said;
    }

    /// <summary>
    /// Recipients put off with 452 (552 of older hosts), not for a full mailbox or our rate, while others were taken: the next hop limits recipients, and the rest go
    /// at once (RFC 5321 §4.5.3.1.10).
    /// </summary>
    private static int[]? TooManyAtOnce(MailTransaction transaction, int[]? subset)
    {
        if (transaction.Outcomes.Length == 1 || !Array.Exists(transaction.Outcomes, o => o!.Kind == OutcomeKind.Delivered))
            return null;
        int[] rest = [.. Enumerable.Range(0, transaction.Outcomes.Length).Where(i => IsTooMany(transaction.Outcomes[i])).Select(i => subset?[i] ?? i)];
        return rest.Length == 0 ? null : rest;
    }

    private static bool IsTooMany(RecipientOutcome? outcome) => outcome is { Code: 452 or 552, Finding.Class: ReplyClass.Transient };

    private static int[]? OpenRecipients(AttemptResult result)
    {
        if (Array.TrueForAll(result.Outcomes, o => o is null or { Kind: OutcomeKind.NextHost }))
            return null;
        return [.. Enumerable.Range(0, result.Outcomes.Length).Where(i => result.Outcomes[i] is null or { Kind: OutcomeKind.NextHost })];
    }

    private static ImmutableArray<QueuedRecipient> Select(ImmutableArray<QueuedRecipient> recipients, int[]? subset) =>
        subset is null ? recipients : [.. subset.Select(i => recipients[i])];

    private static void Note(AttemptResult result, SmtpClientSession session, in TlsDecision tls, DeliveryStage stage)
    {
        result.Stage = stage;
        result.Local = session.LocalText;
        result.TlsOutcome = session.Tls is { } outcome ? tls.Told(outcome) : null;
    }

    private async ValueTask<SessionFailure?> WhyNotAsync(string subscription, IPAddress address, CancellationToken cancellationToken) =>
        await mayLeaveFrom(subscription, address, cancellationToken) ? null : EgressSocket.BelongsToOther(address);

    /// <summary>Nothing was sent, and nothing is decided: the other family may have an address that is here, else the mail waits for this one.</summary>
    private HostEnd NoteMissing(AttemptResult result, EgressBinding binding, SessionFailure failure)
    {
        metrics.EgressBindFailures.Increment();
        local.NoteMissing(binding.Address!);
        result.Stage = failure.Stage;
        return HostEnd.Missing;
    }

    /// <summary>Nothing was sent. An address that is another's now says nothing of the other family's; a connection that left from elsewhere is a fault of this host.</summary>
    private HostEnd Refuse(AttemptResult result, SessionFailure failure)
    {
        bool isDenied = failure.Egress == EgressFault.Denied;
        (isDenied ? metrics.EgressDenials : metrics.EgressMismatches).Increment();
        result.Stage = failure.Stage;
        result.DecideRest(isDenied ? failure.Outcome with { Kind = OutcomeKind.NextHost } : failure.Outcome);
        return isDenied ? HostEnd.Denied : HostEnd.Final;
    }

    /// <summary>Waiting again for so long is as good as waiting between attempts: it is due when it would have been without.</summary>
    /// <param name="began">When it began to wait.</param>
    private PutOff NoConnection(NextHopAddress address, DateTimeOffset began) =>
        new(WaitKey.Connection(address.Host), began + options.Retry.First, "4.4.5", $"No connection to {address} became free in time", WaitCause.Connection);

    private static string NoWay(EgressChoice choice, NextHopPlan plan, string? ipv6OffBy)
    {
        string family = plan.Addresses.All(IsIPv6) ? "IPv6" : plan.Addresses.Any(IsIPv6) && ipv6OffBy is null ? "IPv4 and IPv6" : "IPv4";
        string has = plan.Addresses.All(IsIPv6) || !plan.Addresses.Any(IsIPv6) ? $"The next hop has only {family} addresses" : "The next hop has IPv4 and IPv6 addresses";
        return ipv6OffBy is not null && plan.Addresses.All(IsIPv6) && EgressBinding.For(choice, AddressFamily.InterNetworkV6) is not null
            ? $"{has}, and IPv6 is switched off for {ipv6OffBy}"
            : $"{has} and the egress ({choice.IPv4?.Address ?? choice.IPv6?.Address}) has none of that family{(ipv6OffBy is null ? "" : $", IPv6 being switched off for {ipv6OffBy}")}";
    }
}
