using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Random schedules of mail, time, restarts and steps of the wall clock over limits that hold.</summary>
public sealed class HeldMailProperties
{
    private static readonly string[] Senders = ["a@acme.test", "b@acme.test", "c@acme.test", "d@beta.test"];

    private static readonly TimeSpan Window = TimeSpan.FromMinutes(60);

    private static readonly (AccountKey Key, int Limit)[] Limits =
    [
        (new AccountKey(Level.Plan, "basic"), 7), (new AccountKey(Level.Subscription, "acme"), 5), (new AccountKey(Level.Domain, "acme.test"), 5),
        (new AccountKey(Level.Mailbox, "a@acme.test"), 2), (new AccountKey(Level.Mailbox, "d@beta.test"), 3),
        (new AccountKey(Level.Subscription, "acme", MessageClass.Forward), 2),
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
        var counted = new List<(DateTimeOffset At, string Sender, bool IsForward)>();
        var waiting = Senders.SelectMany(static s => new[] { (s, true), (s, false) }).ToDictionary(static s => s, static _ => new List<QueueId>());
        foreach (int action in schedule)
        {
            switch (action)
            {
                case < 60:
                    (string sender, bool isForward) = (Senders[action % Senders.Length], action / Senders.Length % 3 == 0);
                    DateTimeOffset offeredAt = rig.Queue.Usage.Now;
                    OfferedMessageId offered = await OfferAsync(rig, sender, isForward);
                    await NoteAsync();
                    Assert.True(offered.Verdict == Verdict.Hold || waiting[(sender, isForward)].Count == 0, "mail has overtaken what its sender has waiting");
                    if (offered.Verdict == Verdict.Accept)
                        counted.Add((offeredAt, sender, isForward));
                    else
                        waiting[(sender, isForward)].Add(offered.Id);
                    break;
                case < 90:
                    for (int minute = 0; minute < action - 55; minute++)
                    {
                        await rig.AdvanceAsync(TimeSpan.FromMinutes(1));
                        await NoteAsync();
                    }
                    break;
                case < 95:
                    rig.Queue.Time.StepWallClock(TimeSpan.FromMinutes((action - 92) * 47));
                    break;
                default:
                    await rig.RestartAsync(TimeSpan.FromMinutes(1));
                    break;
            }
            await NoteAsync();
        }
        for (int minute = 0; minute < 61 * 20 && waiting.Values.Any(static w => w.Count > 0); minute += 30)
        {
            await rig.AdvanceAsync(TimeSpan.FromMinutes(30));
            await NoteAsync(check: false); // When within the half hour is not known.
        }
        Assert.All(waiting.Values, Assert.Empty);
        Assert.Equal(0, rig.Queue.Usage.Holds.Total);

        async Task NoteAsync(bool check = true)
        {
            await rig.SettleAsync(); // What is released meanwhile would be seen in part.
            DateTimeOffset now = rig.Queue.Usage.Now;
            foreach (((string sender, bool isForward), List<QueueId> ids) in waiting)
            {
                QueueId[] gone = await rig.ReleasedAsync([.. ids]);
                Assert.Equal(ids.Take(gone.Length), gone); // Oldest first.
                ids.RemoveRange(0, gone.Length);
                foreach (QueueId _ in gone)
                    counted.Add((now, sender, isForward));
            }
            foreach ((AccountKey key, int limit) in check ? Limits : [])
            {
                int used = counted.Count(c => now - c.At <= Window && (c.IsForward || key.Class is null) && rig.Account(c.Sender).Levels.Any(l => l.Key == key));
                Assert.True(used <= limit, $"{used} in an hour at {key}, more than {limit}");
            }
        }
    }

    private static async Task<OfferedMessageId> OfferAsync(HoldRig rig, string sender, bool isForward)
    {
        OfferedMessage message = isForward ? rig.Forward(sender) : rig.Queue.Message(rig.Account(sender));
        OfferResult result = await rig.Queue.OfferAsync(message);
        return new OfferedMessageId(message.Id, result.Decision!.Verdict);
    }

    private readonly record struct OfferedMessageId(QueueId Id, Verdict Verdict);
}
