using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Queue;

/// <summary>Random schedules of mail, time, restarts and steps of the wall clock over limits that hold.</summary>
public sealed class HeldMailProperties
{
    private static readonly string[] Senders = ["a@acme.test", "b@acme.test", "c@acme.test", "d@beta.test"];

    /// <summary>An hour's limit counts whole minutes: 59 minutes between two that were noted at the end of theirs are less than 60.</summary>
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(59);

    private static readonly (AccountKey Key, int Limit)[] Limits =
    [
        (new AccountKey(Level.Plan, "basic"), 7), (new AccountKey(Level.Subscription, "acme"), 5), (new AccountKey(Level.Domain, "acme.test"), 5),
        (new AccountKey(Level.Mailbox, "a@acme.test"), 2), (new AccountKey(Level.Mailbox, "d@beta.test"), 3),
    ];

    [Fact]
    public void No_hour_holds_more_than_a_limit_and_each_sender_s_mail_keeps_its_order() => Prop.ForAll(
        Gen.Choose(0, 99).ListOf(60).ToArbitrary(), schedule => RunAsync([.. schedule]).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(10));

    private static async Task RunAsync(int[] schedule)
    {
        using var rig = new HoldRig();
        foreach ((AccountKey key, int limit) in Limits)
            rig.Limit(key.ToString(), $"{limit}/h");
        rig.Start();
        var counted = new List<(TimeSpan At, string Sender)>();
        var waiting = Senders.ToDictionary(static s => s, static _ => new List<QueueId>());
        TimeSpan elapsed = default;
        foreach (int action in schedule)
        {
            switch (action)
            {
                case < 60:
                    string sender = Senders[action % Senders.Length];
                    OfferedMessageId offered = await OfferAsync(rig, sender);
                    if (offered.Verdict == Verdict.Accept)
                        counted.Add((elapsed, sender));
                    else
                        waiting[sender].Add(offered.Id);
                    Assert.True(offered.Verdict == Verdict.Hold || waiting[sender].Count == 0, "mail has overtaken what its sender has waiting");
                    break;
                case < 90:
                    for (int minute = 0; minute < action - 55; minute++)
                    {
                        elapsed += TimeSpan.FromMinutes(1);
                        await rig.AdvanceAsync(TimeSpan.FromMinutes(1));
                        await NoteAsync();
                    }
                    break;
                case < 95:
                    rig.Queue.Time.StepWallClock(TimeSpan.FromMinutes((action - 92) * 47));
                    break;
                default:
                    elapsed += TimeSpan.FromMinutes(1);
                    await rig.RestartAsync(TimeSpan.FromMinutes(1));
                    break;
            }
            await NoteAsync();
        }
        for (int minute = 0; minute < 61 * 20 && waiting.Values.Any(static w => w.Count > 0); minute += 30)
        {
            elapsed += TimeSpan.FromMinutes(30);
            await rig.AdvanceAsync(TimeSpan.FromMinutes(30));
            await NoteAsync(check: false);
        }
        Assert.All(waiting.Values, Assert.Empty);
        Assert.Equal(0, rig.Queue.Usage.Holds.Total);

        async Task NoteAsync(bool check = true)
        {
            foreach ((string sender, List<QueueId> ids) in waiting)
            {
                QueueId[] gone = await rig.ReleasedAsync([.. ids]);
                Assert.Equal(ids.Take(gone.Length), gone); // Oldest first.
                ids.RemoveRange(0, gone.Length);
                foreach (QueueId _ in gone)
                    counted.Add((elapsed, sender));
            }
            foreach ((AccountKey key, int limit) in Limits)
            {
                if (check)
                    Assert.True(counted.Count(c => elapsed - c.At <= Window && rig.Account(c.Sender).Levels.Any(l => l.Key == key)) <= limit, $"more than {limit} in an hour at {key}");
            }
        }
    }

    private static async Task<OfferedMessageId> OfferAsync(HoldRig rig, string sender)
    {
        var message = rig.Queue.Message(rig.Account(sender));
        var result = await rig.Queue.OfferAsync(message);
        return new OfferedMessageId(message.Id, result.Decision!.Verdict);
    }

    private readonly record struct OfferedMessageId(QueueId Id, Verdict Verdict);
}
