using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Storage;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Reports;

/// <summary>Random mail, refused, held, released, bounced, with clock steps and restarts: reports say what a plain count of the decision log says.</summary>
public sealed partial class ReportRecountTests
{
    private static readonly string[] Subscriptions = ["acme", "globex"];

    [Fact]
    public void Every_format_has_the_figures_that_a_plain_count_of_the_decision_log_gives() =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(12), Prop.ForAll(Gen.Choose(0, int.MaxValue - 1).ToArbitrary(), seed => RunAsync(seed).GetAwaiter().GetResult()));

    private static async Task RunAsync(int seed)
    {
        var random = new Random(seed);
        using var queue = new QueueFixture();
        await queue.Writer.WriteAsync(db =>
        {
            using System.Data.Common.DbCommand command = db.CreateCommand();
            command.CommandText = "insert into plan (name) values ('basic'); insert into subscription (name, plan) values ('acme', 'basic'), ('globex', 'basic')";
            return command.ExecuteNonQuery();
        });
        queue.AccountOf = identity => queue.Account(identity.Name[(identity.Name.IndexOf('@', StringComparison.Ordinal) + 1)..^5]) with { Identity = identity };
        for (int i = 0; i < 60; i++)
            await StepAsync(queue, random);
        DateTimeOffset end = ReportPeriods.EndOfHour(queue.Time.GetUtcNow()).AddHours(random.Next(-30, 30));
        foreach (ReportPeriod period in Enum.GetValues<ReportPeriod>())
        {
            foreach (AccountKey key in (AccountKey[])[AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, "acme"), new(Level.Domain, "globex.test")])
            {
                Report report = await new ReportMaker(queue.Store, queue.Options, queue.Time).MakeAsync(new ReportRequest(period, end, key, 50, true), CancellationToken.None);
                Recount counted = await Recount.OfAsync(queue.Store, report.Begin, report.End);
                AssertSame(counted, report);
                AssertFormats(report);
            }
        }
    }

    private static async Task StepAsync(QueueFixture queue, Random random)
    {
        string subscription = Subscriptions[random.Next(2)];
        SenderAccount account = queue.Account(subscription, "3/h") with
        {
            Identity = new SenderIdentity(IdentityKind.Login, $"info@{subscription}.test", IPAddress.Parse($"192.0.2.{random.Next(1, 6)}")),
        };
        string[] recipients = [.. Enumerable.Range(0, random.Next(1, 4)).Select(static n => $"r{n}@example.org")];
        switch (random.Next(10))
        {
            case <= 4:
                OverLimitAction action = (OverLimitAction)random.Next(3);
                await queue.OfferAsync(queue.Message(account with { Levels = [.. account.Levels.Select(level => level with { Action = action })] }, recipients));
                break;
            case 5:
                for (int i = random.Next(1, 30); i > 0; i--)
                    queue.Writer.RecordRefusal(Refusal(queue, account));
                await queue.Writer.WriteAsync(static _ => 0); // They are counted in the hour in which they are written.
                break;
            case 6:
                if (await TakeAsync(queue) is { } job)
                    await queue.EndAsync(job, (DeliveryResult)random.Next(3), TimeSpan.FromMinutes(1));
                break;
            case 7:
                await queue.NewAdministration().ReleaseAsync(QueueSelection.OfSubscription(subscription), false, null, CancellationToken.None);
                break;
            case 8:
                queue.Time.StepWallClock(TimeSpan.FromMinutes(random.Next(-300, 300)));
                break;
            default:
                queue.Time.Advance(TimeSpan.FromMinutes(random.Next(1, 200)));
                if (random.Next(4) == 0)
                    queue.Reopen(TimeSpan.FromMinutes(random.Next(100)));
                break;
        }
    }

    /// <summary>Null: nothing is due, or not soon enough to wait for it.</summary>
    private static async Task<DeliveryJob?> TakeAsync(QueueFixture queue)
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        try
        {
            return await queue.Scheduler.TakeAsync(bound.Token);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private static RefusedOffer Refusal(QueueFixture queue, SenderAccount account)
    {
        SmtpReply reply = SmtpReply.Parse("550 5.7.1 No");
        return new RefusedOffer
        {
            Id = queue.NewId(),
            ReceivedAt = queue.Time.GetUtcNow(),
            Source = new SubmissionSource("local", "client.test", "ESMTPA"),
            Account = account,
            Identity = account.Identity,
            Envelope = new Envelope(new ReversePath(account.Mailbox), []),
            Decision = new Decision { Verdict = Verdict.Refuse, Reason = Reasons.Suspended, Reply = reply, ReversePath = new ReversePath(account.Mailbox) },
            Stage = "MAIL",
        };
    }

    private static void AssertSame(Recount counted, Report report)
    {
        AssertRow(counted, report.Object, report.Totals.Rows[0]);
        foreach (string key in (string[])["plans", "subscriptions", "domains", "mailboxes"])
        {
            foreach (ReportRow row in report.Sections.FirstOrDefault(section => section.Key == key)?.Rows ?? [])
                AssertRow(counted, new AccountKey(Enum.Parse<Level>(row.Kind, ignoreCase: true), row.Name), row);
        }
        if (report.Object.Level == Level.Server)
        {
            Assert.Equal(counted.Objects.Keys.Count(static key => key.Level == Level.Mailbox), report.Sections.Single(static section => section.Key == "mailboxes").Rows.Length);
            foreach (ReportRow row in report.Sections.Single(static section => section.Key == ReportSection.Addresses).Rows)
                Assert.Equal(counted.Addresses[row.Name], (row.Messages, row.Recipients, row.Refused));
        }
    }

    private static void AssertRow(Recount counted, AccountKey key, ReportRow row)
    {
        Tally expected = counted.Objects.GetValueOrDefault(key) ?? new Tally();
        Assert.Equal(
            (key, expected.Messages, expected.Recipients, expected.Refused, expected.Held, expected.Bounced, expected.Over.Count),
            (key, row.Messages, row.Recipients, row.Refused, row.Held!.Value, row.Bounced!.Value, (int)row.HoursOver!.Value));
    }

    /// <summary>What is shown in text and HTML, and every figure of CSV and JSON, is that of the report.</summary>
    private static void AssertFormats(Report report)
    {
        var text = new List<string>();
        var html = new List<string>();
        var csv = new List<string>();
        foreach (ReportSection section in report.Sections.Prepend(report.Totals))
        {
            foreach (ReportRow row in section.Rows)
                csv.Add($"{section.Key} {row.Kind} {row.Name} " + string.Join(' ', Columns.Select(column => row[column]?.ToString(CultureInfo.InvariantCulture) ?? "-")));
        }
        foreach (ReportSection section in report.Sections)
        {
            foreach (ReportRow row in section.Rows)
                html.Add(string.Join(' ', Columns.Where(column => section.Columns.HasFlag(column)).Select(column => row[column]!.Value.ToString("#,0", CultureInfo.InvariantCulture))));
        }
        // The totals have their own form: the first table behind the head.
        text.AddRange(ReportText.Write(report).Split("\n\n").Skip(2).SelectMany(static table => table.Split('\n').Skip(1)).Select(static line => TextRow().Match(line)).Where(static row => row.Success)
            .Select(static row => string.Join(' ', row.Groups["n"].Captures.Select(static n => n.Value))));
        Assert.Equal(html, text);
        Assert.Equal(html, HtmlRow().Matches(ReportHtml.Write(report)).Select(static row => string.Join(' ', row.Groups["n"].Captures.Select(static n => n.Value))).Skip(8));
        string[] lines = ReportCsv.Write(report).Split("\r\n");
        Assert.Equal(csv, lines[1..^1].Select(static line => line.Split(',')).Select(static field =>
            $"{field[3]} {field[4]} {field[5]} " + string.Join(' ', field[7..15].Select(static n => n.Length == 0 ? "-" : n))));
        using var octets = new MemoryStream();
        using (var json = new Utf8JsonWriter(octets))
            ReportJson.Write(json, report);
        JsonObject sections = JsonNode.Parse(Encoding.UTF8.GetString(octets.ToArray()))!["sections"]!.AsObject();
        Assert.Equal(csv, sections.SelectMany(static section => section.Value!["rows"]!.AsArray().Select(row =>
            $"{section.Key} {row!["kind"]} {row["name"]} " + string.Join(' ', Keys.Select(key => row[key]?.ToString() ?? "-")))));
    }

    private static readonly ReportColumns[] Columns = Enum.GetValues<ReportColumns>().Where(static column => long.PopCount((long)column) == 1).ToArray();
    private static readonly string[] Keys = ["messages", "recipients", "refused", "held", "bounced", "exempt", "forwarded", "hoursOver"];

    [GeneratedRegex(@"^\S.*?(?:  +(?<n>[\d,]+))+$", RegexOptions.None, 1000)]
    private static partial Regex TextRow();

    [GeneratedRegex("<td style=[^>]*>[^<]*</td>(?:<td align=\"right\" nowrap>(?<n>[\\d,]+)[^<]*</td>)+", RegexOptions.None, 1000)]
    private static partial Regex HtmlRow();

    private sealed class Tally
    {
        public long Messages, Recipients, Refused, Held, Bounced;

        public HashSet<long> Over { get; } = [];
    }

    /// <summary>The plain count: one look at every record, order and attempt.</summary>
    private sealed class Recount(long begin, long end)
    {
        public Dictionary<AccountKey, Tally> Objects { get; } = [];

        public Dictionary<string, (long Messages, long Recipients, long Refused)> Addresses { get; } = [];

        public static Task<Recount> OfAsync(SqliteRelayStore store, DateTimeOffset begin, DateTimeOffset end) => store.ReadAsync(
            db =>
            {
                var recount = new Recount(UsageHour(begin), UsageHour(end));
                using System.Data.Common.DbCommand command = db.CreateCommand();
                command.CommandText = """
                    select d.id, d.verdict, d.subscription, d.repeats, d.detail ->> '$.recipients', d.detail ->> '$.client', d.levels,
                      (select max(at) from message_order o where o.id = d.id and o.what = 'released'),
                      (select group_concat(a.started_at || ' ' || (select count(*) from json_each(a.results) r where r.value ->> '$.result' = 'failed')) from attempt a where a.id = d.id)
                    from decision d
                    """;
                using System.Data.Common.DbDataReader row = command.ExecuteReader();
                while (row.Read())
                    recount.Add(row);
                return recount;
            },
            CancellationToken.None);

        private void Add(System.Data.Common.DbDataReader row)
        {
            long at = QueueId.FromBytes((byte[])row.GetValue(0)).Timestamp.ToUnixTimeMilliseconds();
            Verdict verdict = RecordCodes.Verdict(row.GetInt64(1));
            string subscription = row.GetString(2), client = row.GetString(5);
            long repeats = row.GetInt64(3), recipients = row.GetInt64(4);
            AccountKey[] keys =
            [
                AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, subscription), new(Level.Domain, subscription + ".test"), new(Level.Mailbox, $"info@{subscription}.test"),
            ];
            if (verdict == Verdict.Accept)
                Sent(keys, client, at, recipients);
            else if (verdict == Verdict.Hold)
                Count(keys, at, static tally => tally.Held++);
            else
                Refused(keys, client, at, repeats);
            if (!row.IsDBNull(7) && verdict == Verdict.Hold)
                Sent(keys, client, row.GetInt64(7), recipients);
            JsonNode? stopped = JsonNode.Parse(row.GetString(6))!["levels"]!.AsArray().FirstOrDefault(static level => (bool?)level!["stopped"] == true);
            if (stopped is not null)
                Count([keys.Single(key => RecordRows.LevelName(key.Level) == (string)stopped["level"]!)], at, tally => tally.Over.Add(at / 3_600_000));
            foreach (string attempt in row.IsDBNull(8) ? [] : row.GetString(8).Split(','))
            {
                long failed = long.Parse(attempt.Split(' ')[1], CultureInfo.InvariantCulture);
                if (failed > 0)
                    Count(keys, long.Parse(attempt.Split(' ')[0], CultureInfo.InvariantCulture), tally => tally.Bounced += failed);
            }
        }

        private void Sent(AccountKey[] keys, string client, long at, long recipients)
        {
            Count(keys, at, tally => (tally.Messages, tally.Recipients) = (tally.Messages + 1, tally.Recipients + recipients));
            Count(client, at, 1, recipients, 0);
        }

        private void Refused(AccountKey[] keys, string client, long at, long attempts)
        {
            Count(keys, at, tally => tally.Refused += attempts);
            Count(client, at, 0, 0, attempts);
        }

        private void Count(AccountKey[] keys, long at, Action<Tally> count)
        {
            if (at / 3_600_000 < begin || at / 3_600_000 >= end)
                return;
            foreach (AccountKey key in keys)
                count(Objects.TryGetValue(key, out Tally? tally) ? tally : Objects[key] = new Tally());
        }

        private void Count(string client, long at, long messages, long recipients, long refused)
        {
            if (at / 3_600_000 < begin || at / 3_600_000 >= end)
                return;
            (long m, long r, long f) = Addresses.GetValueOrDefault(client);
            Addresses[client] = (m + messages, r + recipients, f + refused);
        }

        private static long UsageHour(DateTimeOffset at) => at.ToUnixTimeSeconds() / 3600;
    }
}
