using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Data.Sqlite;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Queue;
using SQLitePCL;

namespace RelayGate.Tests.Delivery;

/// <summary>
/// Whatever becomes of attempts, with restarts between them and commits whose end is not known: each recipient that failed is named by exactly one
/// report, once, and nobody else is; each recipient's delay is told once at most (RELIABILITY 27).
/// </summary>
public sealed class DsnOnceProperties
{
    [Fact]
    public void Each_failed_recipient_is_named_once_and_nobody_else_is() =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(8), Prop.ForAll(Gen.Choose(0, int.MaxValue - 1).ToArbitrary(), Play));

    private static void Play(int seed)
    {
        using var run = new Run(seed);
        run.PlayAsync().GetAwaiter().GetResult();
    }

    private sealed class Run(int seed) : IDisposable
    {
        private readonly Random _random = new(seed);
        private readonly QueueFixture _queue = new();
        private readonly Dictionary<(QueueId Message, string Recipient), DeliveryResult> _ends = [];
        private readonly Dictionary<QueueId, string> _reports = [];

        public void Dispose() => _queue.Dispose();

        public async Task PlayAsync()
        {
            QueueFixture queue = _queue;
            queue.Options.Hostname = "relay.test";
            queue.Options.Delivery.Retry.GiveUpAfter = TimeSpan.FromHours(8);
            queue.Options.Dsn.PerSender = 0;
            _ = queue.Scheduler;
            for (int m = _random.Next(1, 4); m > 0; m--)
                await queue.AcceptAsync(queue.Account(), [.. Enumerable.Range(0, _random.Next(1, 9)).Select(i => $"m{m}r{i}@d{_random.Next(3)}.test")]);
            var planner = new DsnPlanner(queue.Options, static (_, _) => new(new DsnOrigin(MailboxAddress.Parse("MAILER-DAEMON@relay.test"), [], true)), OwnMail.NewId);
            var recorder = new AttemptRecorder(queue.Options.Delivery);
            while (await queue.Count("recipient", "state = 0") > 0)
            {
                List<DeliveryJob> jobs = await TakeSomeAsync();
                for (; jobs.Count > 0; jobs.RemoveAt(0))
                {
                    if (_random.Next(12) == 0)
                    {
                        queue.Reopen(); // The process ends in the middle of these attempts.
                        _ = queue.Scheduler;
                        break;
                    }
                    await EndAsync(jobs[0], planner, recorder);
                }
            }
            Judge();
        }

        private async Task<List<DeliveryJob>> TakeSomeAsync()
        {
            var jobs = new List<DeliveryJob>();
            for (int wanted = _random.Next(1, 4); wanted > 0; wanted--)
            {
                using var soon = new CancellationTokenSource(jobs.Count == 0 ? 100 : 20);
                try
                {
                    if (await _queue.Scheduler.TakeAsync(soon.Token) is { } job)
                        jobs.Add(job);
                }
                catch (OperationCanceledException)
                {
                    break;
                }
            }
            if (jobs.Count == 0)
                _queue.Time.Advance(TimeSpan.FromMinutes(30));
            return jobs;
        }

        private async Task EndAsync(DeliveryJob job, DsnPlanner planner, AttemptRecorder recorder)
        {
            if (job.Message.IsDsn)
                _reports[job.Message.Id] = Encoding.UTF8.GetString(job.Message.Body.Memory.Span);
            var result = new AttemptResult(job.Recipients.Length, TimeProvider.System);
            for (int i = 0; i < result.Outcomes.Length; i++)
            {
                result.Outcomes[i] = job.Message.IsDsn ? RecipientOutcome.Local(OutcomeKind.Delivered, "2.0.0", "250 2.0.0 Ok") : _random.Next(8) switch
                {
                    0 => new RecipientOutcome(OutcomeKind.Failed, "5.1.1", "550 5.1.1 No such user", 550),
                    1 or 2 => new RecipientOutcome(OutcomeKind.Delivered, "2.0.0", "250 2.0.0 Ok", 250),
                    _ => new RecipientOutcome(OutcomeKind.Deferred, "4.3.0", "451 4.3.0 Later", 451),
                };
            }
            DeliveryAttempt attempt = recorder.Record(job, result, _queue.Time.GetUtcNow(), TimeSpan.FromMilliseconds(_random.Next(1000)), _random.NextDouble());
            PreparedDsn? dsn = await planner.PlanAsync(job, attempt);
            bool fails = _random.Next(10) == 0, hasFailed = false;
            void Fault()
            {
                if (!fails || hasFailed)
                    return;
                hasFailed = true;
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
            }
            _queue.Writer.CommitFault = _random.Next(2) == 0 ? (Fault, null) : (null, Fault);
            Task completion = _queue.Writer.CompleteAsync(job, attempt, dsn);
            for (int i = 0; i < 500 && !completion.IsCompleted; i++)
            {
                if (hasFailed)
                    _queue.Time.Advance(TimeSpan.FromSeconds(1)); // It is tried again with time.
                await Task.WhenAny(completion, Task.Delay(5));
            }
            await completion.WaitAsync(TimeSpan.FromSeconds(20));
            _queue.Writer.CommitFault = default;
            _queue.Scheduler.Complete(job);
            if (job.Message.IsDsn)
                return;
            foreach (RecipientResult one in attempt.Results.Where(static r => r.Result != DeliveryResult.Deferred))
                Assert.True(_ends.TryAdd((job.Message.Id, one.Recipient.ForwardPath.Text), one.Result), "Attempted again after its end");
        }

        private void Judge()
        {
            var named = new List<(string Recipient, string Action)>();
            foreach (string report in _reports.Values)
            {
                string[] recipients = [.. Fields(report, "Final-Recipient: rfc822; ")], actions = [.. Fields(report, "Action: ")];
                Assert.Equal(recipients.Length, actions.Length);
                Assert.NotEmpty(recipients);
                named.AddRange(recipients.Zip(actions));
            }
            Assert.Equal(
                _ends.Where(static e => e.Value == DeliveryResult.Failed).Select(static e => e.Key.Recipient).Order(StringComparer.Ordinal),
                named.Where(static n => n.Action == "failed").Select(static n => n.Recipient).Order(StringComparer.Ordinal));
            string[] delayed = [.. named.Where(static n => n.Action == "delayed").Select(static n => n.Recipient)];
            Assert.Equal(delayed.Distinct().Count(), delayed.Length);
            Assert.DoesNotContain(named, static n => n.Action is not ("failed" or "delayed"));
        }

        private static IEnumerable<string> Fields(string report, string start) =>
            report.Split("\r\n").Where(l => l.StartsWith(start, StringComparison.Ordinal)).Select(l => l[start.Length..]);
    }
}
