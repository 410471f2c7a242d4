using System.Data.Common;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Notices;

/// <summary>Random histories of notices against a real store: what each receiver is sent, and when.</summary>
public sealed class DigestPropertyTests
{
    private static readonly TimeSpan Period = TimeSpan.FromHours(1);

    /// <param name="Gap">Minutes since the one before.</param>
    /// <param name="Step">Minutes that the wall clock is set by.</param>
    private sealed record Event(int Gap, NoticeKind Kind, int Thing, bool Restart, int Step);

    private sealed record Mail(DateTimeOffset At, List<(NoticeKind Kind, string Name, DateTimeOffset RaisedAt, string Id)> Notices);

    [Fact]
    public void A_receiver_is_told_everything_once_in_time_and_never_more_often_than_promised()
    {
        Gen<Event> one =
            from gap in Gen.OneOf(Gen.Choose(0, 3), Gen.Choose(0, 90))
            from kind in Gen.Elements(NoticeKinds.All.ToArray())
            from thing in Gen.Choose(1, 4)
            from restart in Gen.Frequency((9, Gen.Constant(false)), (1, Gen.Constant(true)))
            from step in Gen.Frequency((8, Gen.Constant(0)), (1, Gen.Choose(-3000, 0)), (1, Gen.Choose(0, 3000)))
            select new Event(gap, kind, thing, restart, step);

        Gen<Event[]> histories =
            from events in one.ArrayOf(40)
            from isSteady in Gen.Elements(true, false)
            select isSteady ? [.. events.Select(static e => e with { Step = 0 })] : events;
        Prop.ForAll(histories.ToArbitrary(), Check).Check(Config.QuickThrowOnFailure.WithMaxTest(12)); // Each event is a commit.
    }

    private static void Check(Event[] events)
    {
        using var fixture = new QueueFixture();
        fixture.Options.Hostname = "relay.test";
        fixture.Options.Postmaster = "admin@ops.test";
        DateTimeOffset started = fixture.Time.GetUtcNow();
        long begin = fixture.Time.GetTimestamp();
        var mails = new List<Mail>();
        var raisedAt = new Dictionary<string, DateTimeOffset>();
        NoticeWriter writer = Start(fixture);
        long? due = null;
        foreach (Event e in events)
        {
            DateTimeOffset until = Elapsed() + TimeSpan.FromMinutes(e.Gap);
            while (due is { } at && Elapsed() + Left(at) <= until)
            {
                fixture.Time.Advance(Left(at));
                Write([]);
            }
            fixture.Time.Advance(until - Elapsed());
            fixture.Time.StepWallClock(TimeSpan.FromMinutes(e.Step));
            if (e.Restart)
            {
                fixture.Reopen();
                writer = Start(fixture);
                Write([]);
            }
            Write([new RaisedNotice(new Notice { Kind = e.Kind, Level = "domain", Name = $"d{e.Thing}.test" }, fixture.Time.GetUtcNow(), null)]);
        }
        while (due is { } at)
        {
            fixture.Time.Advance(Left(at));
            Write([]);
        }

        Judge(mails, raisedAt, isSteady: events.All(static e => e.Step == 0));

        // The clock of notices may be ahead of the elapsed time after a restart, never behind.
        DateTimeOffset Elapsed() => started + fixture.Time.GetElapsedTime(begin);

        TimeSpan Left(long at) => TimeSpan.FromMilliseconds(Math.Max(0, at - writer.Now));

        void Write(RaisedNotice[] raised)
        {
            NoticeResult result = fixture.Writer.RunAsync(context => writer.Write(context, raised, new ServerMailOrigin(fixture.Egress, [])), CancellationToken.None).GetAwaiter().GetResult();
            DateTimeOffset now = DateTimeOffset.FromUnixTimeMilliseconds(writer.Now);
            foreach (QueueId id in result.Ids)
                raisedAt.TryAdd(id.ToString(), now);
            foreach (QueuedMessage mail in result.Mails)
            {
                mails.Add(new Mail(now, [.. Told(fixture, mail.Id).Select(n => (n.Kind, n.Name, raisedAt[n.Id], n.Id))]));
                mail.Release();
            }
            due = result.NextDue;
        }
    }

    /// <param name="isSteady">The wall clock was not set: only then does a restart know how much time has passed.</param>
    private static void Judge(List<Mail> mails, Dictionary<string, DateTimeOffset> raisedAt, bool isSteady)
    {
        Assert.Equal(raisedAt.Keys.Order(), mails.SelectMany(static m => m.Notices).Select(static n => n.Id).Order()); // Everything, and each once.
        Assert.All(mails, m => Assert.NotEmpty(m.Notices));
        var told = new Dictionary<(NoticeKind, string), DateTimeOffset>();
        var sent = new List<DateTimeOffset>();
        foreach (Mail mail in mails)
        {
            bool isFirstAlarm = mail.Notices.Any(n => IsFresh(n.Kind, n.Name, mail.At)) && Before(mail.At) < NoticeSchedule.MaxAtOnce;
            if (sent.Count > 0)
                Assert.True(isFirstAlarm || mail.At - sent[^1] >= Period, $"a digest {mail.At - sent[^1]} after the mail before it");
            foreach ((NoticeKind kind, string name, DateTimeOffset at, _) in mail.Notices)
            {
                Assert.True(!isSteady || mail.At - at <= Period, $"{kind} was told {mail.At - at} late");
                if (IsFresh(kind, name, at) && Before(at) < NoticeSchedule.MaxAtOnce)
                    Assert.Equal(at, mail.At); // The first alarm of an object and kind does not wait.
            }
            foreach ((NoticeKind kind, string name, _, _) in mail.Notices)
                told[(kind, name)] = mail.At;
            sent.Add(mail.At);
        }

        bool IsFresh(NoticeKind kind, string name, DateTimeOffset at) =>
            NoticeKinds.IsAlarm(kind) && (!told.TryGetValue((kind, name), out DateTimeOffset last) || at - last >= Period);

        int Before(DateTimeOffset at) => sent.Distinct().Count(mail => mail > at - Period);
    }

    private static NoticeWriter Start(QueueFixture fixture)
    {
        var clock = new NoticeClock(fixture.Time);
        clock.NotBefore(fixture.Store.ReadAsync(NoticeRows.Clock, CancellationToken.None).GetAwaiter().GetResult());
        return new NoticeWriter(fixture.Options, new NoticeReceivers(fixture.Options), clock, fixture.Time);
    }

    private static List<(NoticeKind Kind, string Name, string Id)> Told(QueueFixture fixture, QueueId mail) => fixture.Store.ReadAsync(db => db.All(
        $"select {NoticeRows.Columns} from notice where id in (select notice from notice_receipt where mail = $1)",
        static row => NoticeRows.Read(row), mail.ToBytes()).ConvertAll(static n => (n.Notice.Kind, n.Notice.Name, n.Id)), CancellationToken.None).GetAwaiter().GetResult();
}
