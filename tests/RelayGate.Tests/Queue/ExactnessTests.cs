using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Queue;

/// <summary>
/// Promise 4, attacked by random schedules: several identities, limits at five levels and of classes, boosts, clock steps, long sleeps, restarts, crashes and failing commits.
/// What the decision log says was accepted is counted again, plainly.
/// </summary>
public sealed class ExactnessTests : IAsyncLifetime, IDisposable
{
    private const int Cases = 40;
    private const int MaxDays = 30; // Held mail has gone by then.

    private static readonly DateTimeOffset[] Starts =
    [
        new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero), new(2026, 12, 31, 22, 41, 7, TimeSpan.Zero), new(2028, 2, 28, 23, 59, 59, TimeSpan.Zero), new(2026, 10, 25, 0, 30, 0, TimeSpan.Zero),
    ];

    private ExactnessRig _template = null!;

    public async Task InitializeAsync()
    {
        _template = new ExactnessRig(Starts[0]);
        await _template.CreateAccountsAsync();
        await _template.RestartAsync(default, default);
    }

    public Task DisposeAsync() => Task.CompletedTask;

    public void Dispose() => _template.Dispose();

    [Fact]
    public void No_schedule_gets_more_through_than_a_limit_or_is_refused_while_there_is_room() =>
        Prop.ForAll(Arb.From(Schedules(), Shrink), schedule =>
        {
            string? fault = Task.Run(() => FaultAsync(schedule)).GetAwaiter().GetResult();
            return (fault is null).Label(fault ?? "");
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(Cases).WithEndSize(40));

    private abstract record Step;

    private sealed record Offers(int Seconds, ScheduledOffer[] Sent, BatchFault Fault) : Step
    {
        public override string ToString() => $"after {Seconds} s offer [{string.Join(", ", Sent.Select(s => $"{s.Who}x{s.Recipients}{(s.IsForward ? "f" : "")}"))}]{(Fault == BatchFault.None ? "" : $" {Fault}")}";
    }

    private sealed record Sleep(int Minutes) : Step;

    private sealed record SetClock(int Seconds) : Step;

    private sealed record Start(bool AfterCrash, int StoppedMinutes, int SetBackMinutes) : Step;

    /// <param name="Holds">Objects whose limits hold; the others refuse.</param>
    /// <param name="Counts">Objects whose limits are counted and not enforced.</param>
    /// <param name="Boosts">What each has more for the first two hours.</param>
    private sealed record Schedule(int From, string[] Limits, bool[] Holds, bool[] Counts, int[] Boosts, Step[] Steps)
    {
        public override string ToString() =>
            $"from {Starts[From]:u}\n  {string.Join(", ", Limits.Select((l, i) => $"{ExactnessRig.Objects[i]} {l}{(Holds[i] ? " hold" : "")}{(Counts[i] ? " counted" : "")}{(Boosts[i] > 0 ? $" +{Boosts[i]}" : "")}"))}\n  {string.Join("\n  ", Steps.Select(s => s.ToString()))}";
    }

    private static Gen<Schedule> Schedules()
    {
        Gen<string> one = from count in Gen.Choose(1, 6) from form in Gen.Elements("/h", "/d", "/h:rcpt", "/d:rcpt") select $"{count}{form}";
        Gen<string> limit = Gen.Frequency((4, Gen.Constant("unlimited")), (4, one), (1, from hour in Gen.Choose(1, 4) from day in Gen.Choose(2, 9) select $"{hour}/h,{day}/d:rcpt"));
        Gen<ScheduledOffer> offer = from who in Gen.Choose(0, ExactnessRig.Senders.Length - 1) from recipients in Gen.Frequency((3, Gen.Constant(1)), (1, Gen.Choose(1, 4))) from kind in Gen.Choose(0, 3) select new ScheduledOffer(who, recipients, kind == 0);
        Gen<BatchFault> fault = Gen.Frequency((12, Gen.Constant(BatchFault.None)), (4, Gen.Elements(BatchFault.Statement, BatchFault.Full, BatchFault.IoBeforeCommit, BatchFault.IoAfterCommit)));
        Gen<Step> offers =
            from seconds in Gen.Frequency((3, Gen.Constant(0)), (4, Gen.Choose(0, 600)), (2, Gen.Choose(1500, 3700)))
            from count in Gen.Frequency((4, Gen.Constant(1)), (2, Gen.Choose(2, 6)))
            from sent in offer.ArrayOf(count)
            from failing in fault
            select (Step)new Offers(seconds, sent, failing);
        Gen<Step> sleep = from minutes in Gen.Frequency((2, Gen.Choose(50, 62)), (1, Gen.Choose(1, 26 * 60)), (1, Gen.Constant(24 * 60))) select (Step)new Sleep(minutes);
        Gen<Step> set = from seconds in Gen.Elements(-1, 1, -3600, 3600, -1800, 300, -86_400, 86_400, 400 * 86_400, -400 * 86_400) select (Step)new SetClock(seconds);
        Gen<Step> start =
            from crash in Gen.Elements(true, false)
            from stopped in Gen.Frequency((2, Gen.Constant(0)), (1, Gen.Choose(0, 100)), (1, Gen.Choose(0, 26 * 60)))
            from back in Gen.Frequency((5, Gen.Constant(0)), (1, Gen.Choose(1, 3000)))
            select (Step)new Start(crash, stopped, back);
        return from start0 in Gen.Choose(0, Starts.Length - 1)
               from limits in limit.ArrayOf(ExactnessRig.Objects.Length)
               from share in Gen.Elements(0, 0, 40, 90)
               from holds in Gen.Choose(0, 99).Select(n => n < share).ArrayOf(ExactnessRig.Objects.Length)
               from counts in Gen.Choose(0, 99).Select(static n => n < 10).ArrayOf(ExactnessRig.Objects.Length)
               from boosts in Gen.Frequency((6, Gen.Constant(0)), (1, Gen.Choose(1, 4))).ArrayOf(ExactnessRig.Objects.Length)
               from steps in Gen.Frequency((10, offers), (2, sleep), (1, set), (1, start)).NonEmptyListOf()
               select new Schedule(start0, limits, holds, counts, boosts, [.. steps]);
    }

    /// <summary>Fewer steps, fewer limits, fewer offers, no fault.</summary>
    private static IEnumerable<Schedule> Shrink(Schedule schedule)
    {
        for (int length = schedule.Steps.Length / 2; length > 0; length /= 2)
        {
            for (int from = 0; from + length <= schedule.Steps.Length; from += length)
                yield return schedule with { Steps = [.. schedule.Steps[..from], .. schedule.Steps[(from + length)..]] };
        }
        for (int i = 0; i < schedule.Limits.Length; i++)
        {
            if (schedule.Limits[i] != "unlimited")
                yield return schedule with { Limits = [.. schedule.Limits[..i], "unlimited", .. schedule.Limits[(i + 1)..]] };
        }
        for (int i = 0; i < schedule.Holds.Length; i++)
        {
            if (schedule.Holds[i])
                yield return schedule with { Holds = [.. schedule.Holds[..i], false, .. schedule.Holds[(i + 1)..]] };
            if (schedule.Boosts[i] > 0)
                yield return schedule with { Boosts = [.. schedule.Boosts[..i], 0, .. schedule.Boosts[(i + 1)..]] };
        }
        for (int i = 0; i < schedule.Steps.Length; i++)
        {
            Step? less = schedule.Steps[i] switch
            {
                Offers { Fault: not BatchFault.None } o => o with { Fault = BatchFault.None },
                Offers { Sent.Length: > 1 } o => o with { Sent = o.Sent[1..] },
                Offers { Seconds: > 0 } o => o with { Seconds = 0 },
                Start { StoppedMinutes: > 0 } s => s with { StoppedMinutes = 0 },
                Start { SetBackMinutes: > 0 } s => s with { SetBackMinutes = 0 },
                _ => null,
            };
            if (less is not null)
                yield return schedule with { Steps = [.. schedule.Steps[..i], less, .. schedule.Steps[(i + 1)..]] };
        }
    }

    private async Task<string?> FaultAsync(Schedule schedule)
    {
        using var rig = new ExactnessRig(Starts[schedule.From], _template.Folder);
        for (int i = 0; i < schedule.Limits.Length; i++)
        {
            if (schedule.Limits[i] != "unlimited")
                await rig.LimitAsync(ExactnessRig.Objects[i], schedule.Limits[i], schedule.Holds[i] ? OverLimitAction.Hold : OverLimitAction.Refuse, !schedule.Counts[i], schedule.Boosts[i]);
        }
        foreach (Step step in schedule.Steps)
        {
            switch (step)
            {
                case Offers offers:
                    await rig.AdvanceAsync(TimeSpan.FromSeconds(offers.Seconds));
                    await rig.OfferAsync(offers.Sent, offers.Fault);
                    break;
                case Sleep sleep:
                    await rig.AdvanceAsync(TimeSpan.FromMinutes(sleep.Minutes));
                    break;
                case SetClock set:
                    rig.StepWallClock(TimeSpan.FromSeconds(set.Seconds));
                    break;
                case Start { AfterCrash: true } start:
                    await rig.CrashAsync(TimeSpan.FromMinutes(start.StoppedMinutes), TimeSpan.FromMinutes(start.SetBackMinutes));
                    break;
                case Start start:
                    await rig.RestartAsync(TimeSpan.FromMinutes(start.StoppedMinutes), TimeSpan.FromMinutes(start.SetBackMinutes));
                    break;
            }
            TimeSpan counted = rig.Usage.Now - rig.Start;
            if (counted > rig.Elapsed || (!rig.MayBeBehind && counted != rig.Elapsed))
                return $"after {rig.Elapsed} the usage clock has gone on by {counted}";
        }
        for (int days = 0; rig.Held > 0 && days < MaxDays; days++)
            await rig.AdvanceAsync(TimeSpan.FromHours(24));
        return rig.Held > 0 ? $"{rig.Held} messages are still held" : await FaultAsync(rig);
    }

    /// <summary>Counts the accepted messages of the decision log again, for each decision and each limit.</summary>
    private static async Task<string?> FaultAsync(ExactnessRig rig)
    {
        HashSet<QueueId> accepted = await rig.AcceptedAsync();
        if (!accepted.SetEquals(rig.Log.Where(r => r is { Counts: true, Decision: not null }).Select(r => r.Id)))
            return "the decision log and the answers differ";
        List<Ruled> counting = [.. rig.Log.Where(r => r.Counts)];
        foreach (Ruled ruled in rig.Log)
        {
            if (!ruled.Counts && ruled.Decision is null)
                continue;
            bool isFull = false;
            foreach (LevelLimit level in ruled.Account.Levels.Where(l => l.Key.Counts(ruled.Class)))
            {
                List<Ruled> counted = [.. counting.Where(r => r.Moment <= ruled.Moment && level.Key.Counts(r.Class) && r.Account.Levels.Any(l => l.Key == level.Key))];
                foreach (Limit limit in level.At(ruled.Usage).Limits)
                {
                    TimeSpan window = limit.Window == LimitWindow.Hour ? TimeSpan.FromHours(1) : TimeSpan.FromDays(1);
                    TimeSpan bucket = limit.Window == LimitWindow.Hour ? TimeSpan.FromMinutes(1) : TimeSpan.FromHours(1);
                    long before = Sum(counted.Where(r => r.Moment < ruled.Moment), limit, ruled.Usage - window);
                    long within = Sum(counted, limit, ruled.Usage - window);
                    long longer = Sum(counted, limit, ruled.Usage - window - bucket);
                    if (ruled.Counts && level.IsEnforced && within > limit.Count)
                        return $"{ruled.Usage:u} {level.Key} {limit}: {within} within the window";
                    isFull |= level.IsEnforced && longer + (limit.Unit == LimitUnit.Messages ? 1 : ruled.Recipients) > limit.Count;
                    if (ruled.Decision?.Levels.FirstOrDefault(l => l.Key == level.Key && l.Limit == limit) is { } said && (said.Used < before || said.Used > longer))
                        return $"{ruled.Usage:u} {level.Key} {limit}: {said.Used} said to be used; {before} in the window, {longer} in a longer one";
                }
            }
            bool isStopped = ruled.Decision is { } decision && decision.Verdict != Verdict.Accept;
            if (isStopped && !isFull && !(ruled.Decision!.Verdict == Verdict.Hold && ruled.WasWaiting))
                return $"{ruled.Usage:u} {ruled.Account.Identity.Key}: {ruled.Decision.Reply} while every longer window had room";
        }
        return null;
    }

    private static long Sum(IEnumerable<Ruled> counted, Limit limit, DateTimeOffset after) =>
        counted.Where(r => r.Usage > after).Sum(r => limit.Unit == LimitUnit.Messages ? 1L : r.Recipients);
}
