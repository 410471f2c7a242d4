using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Reports;

/// <summary>Reports over a real store.</summary>
public sealed class ReportMakerTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    private ReportMaker Maker => new(_queue.Store, _queue.Options, _queue.Time);

    public void Dispose() => _queue.Dispose();

    [Fact]
    public async Task A_report_tells_what_was_sent_refused_held_and_bounced_by_class_object_and_address()
    {
        SenderAccount account = _queue.Account(limit: "2/h");
        await _queue.AcceptAsync(account, "a@example.org", "b@example.org");
        await _queue.AcceptAsync(account);
        Assert.Equal(OfferOutcome.Refused, (await _queue.OfferAsync(_queue.Message(account))).Outcome);
        SenderAccount holding = account with { Levels = [.. account.Levels.Select(static level => level with { Action = OverLimitAction.Hold })] };
        Assert.Equal(Verdict.Hold, (await _queue.OfferAsync(_queue.Message(holding))).Decision!.Verdict);
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);

        Report report = await MakeAsync(AccountKey.Server);

        ReportRow total = Assert.Single(report.Totals.Rows);
        Assert.Equal((2, 3, 1, 1, 2, 0), (total.Messages, total.Recipients, total.Refused, total.Held, total.Bounced, total.HoursOver));
        ReportRow login = Assert.Single(Section(report, ReportSection.Classes).Rows);
        Assert.Equal(("login", 2L), (login.Name, login.Messages));
        Assert.Equal("info@acme.test", Assert.Single(Section(report, "mailboxes").Rows).Name);
        ReportRow address = Assert.Single(Section(report, ReportSection.Addresses).Rows);
        Assert.Equal(("127.0.0.1", 2, 3, 1), (address.Name, address.Messages, address.Recipients, address.Refused));
        ReportRow over = Assert.Single(Section(report, ReportSection.Over).Rows);
        Assert.Equal(("subscription", "acme", 1L), (over.Kind, over.Name, over.HoursOver));
    }

    [Fact]
    public async Task A_store_without_mail_gives_an_empty_report()
    {
        Report report = await MakeAsync(AccountKey.Server);

        Assert.True(report.IsEmpty);
        Assert.Null(report.HistorySince);
        Assert.All(report.Sections, static section => Assert.Empty(section.Rows));
        Assert.Contains("There is no history yet.", ReportText.Write(report), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_top_rows_are_the_right_ones_out_of_more_names_than_are_held_at_once()
    {
        const int Names = 25_000;
        long hour = UsageHistory.HourOf(_queue.Time.GetUtcNow());
        await _queue.Writer.RunAsync(
            context =>
            {
                for (int h = 0; h < 2; h++)
                {
                    for (int i = 0; i < Names; i++)
                    {
                        string name = i % 5000 == 17 ? $"\U0001F4E7{i}@shop.test" : $"\uFF01m{i}@shop.test"; // By UTF-8 the other way round than by UTF-16.
                        context.Prepared("insert into usage_hour values (?, 4, ?, 0, ?, 1, 0, 0, 0, 0, 0)").Bind(1, hour - h).Bind(2, name).Bind(3, i % 1000).Execute();
                    }
                }
                return 0;
            },
            CancellationToken.None);

        Report report = await MakeAsync(AccountKey.Server, top: 25);

        ReportSection mailboxes = Section(report, "mailboxes");
        Assert.Equal(Names - Names / 1000, mailboxes.Count); // Those with nothing are not counted.
        Assert.Equal(Enumerable.Repeat(2 * 999L, 25), mailboxes.Rows.Select(static row => row.Messages));
        Assert.All(mailboxes.Rows, static row => Assert.Equal(2, row.Recipients));
    }

    [Fact]
    public async Task Addresses_beyond_the_bound_of_an_hour_are_one_row_also_after_a_restart()
    {
        SenderAccount account = _queue.Account();
        for (int i = 0; i < AddressBound.OfSubscription + 5; i++)
        {
            if (i == 100)
                _queue.Reopen();
            await _queue.AcceptAsync(account with { Identity = account.Identity with { Client = IPAddress.Parse($"2001:db8:0:{i:x}::{i:x}") } });
        }

        Report report = await MakeAsync(new AccountKey(Level.Subscription, "acme"), top: 1000);

        ReportSection addresses = Section(report, ReportSection.Addresses);
        Assert.Equal(AddressBound.OfSubscription + 1, addresses.Rows.Length);
        Assert.Equal(5, addresses.Rows.Single(static row => row.Name == AddressBound.Other).Messages);
        Assert.Contains(addresses.Rows, static row => row.Name == "2001:db8:0:1f::/64");
    }

    [Fact]
    public async Task What_a_doubtful_commit_had_counted_is_taken_back_with_its_message()
    {
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(OfScript("a.php"))).Outcome);
        _queue.Writer.CommitFault = (null, static () => throw new Microsoft.Data.Sqlite.SqliteException("I/O", SQLitePCL.raw.SQLITE_IOERR));
        Assert.Equal(OfferOutcome.StoreFailed, (await _queue.OfferAsync(OfScript("a.php"))).Outcome);
        _queue.Writer.CommitFault = default;
        _queue.Time.Advance(TimeSpan.FromSeconds(5));
        await _queue.Writer.WriteAsync(static _ => 0);

        Report report = await MakeAsync(AccountKey.Server);

        Assert.Equal((1, 1), (report.Totals.Rows[0].Messages, report.Totals.Rows[0].Recipients));
        Assert.Equal(1, Assert.Single(Section(report, ReportSection.Addresses).Rows).Messages);
        Assert.Equal("1 1", await _queue.Text("select messages || ' ' || recipients from script_hour where script = 'a.php'"));

        OfferedMessage OfScript(string script)
        {
            OfferedMessage message = _queue.Message(_queue.Account());
            return message with { Facts = message.Facts with { Script = new SendingScript(new ScriptKey(1001, script), IsProved: true) } };
        }
    }

    [Fact]
    public void Names_of_others_are_neither_markup_nor_formulas_nor_steer_a_terminal()
    {
        string[] hostile = ["<script>alert(1)</script>@x.test", "=cmd|' /C calc'!A0", "+1@x.test", "-2", "@sum(1)", "a\"b,c\r\n=1", "\u001b[31mred\u202E", new string('x', 5000), "\t=1+1"];
        Report report = Sample([.. hostile.Select(static name => new ReportRow("mailbox", name) { Messages = 1, Held = 0, Bounced = 0 })]);

        string html = ReportHtml.Write(report), csv = ReportCsv.Write(report), text = ReportText.Write(report);

        Assert.DoesNotContain("<script", html, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("&lt;script&gt;", html, StringComparison.Ordinal);
        string[] lines = csv.Split("\r\n");
        Assert.Equal(1 + 1 + hostile.Length + 1, lines.Length);
        Assert.DoesNotContain(lines, static line => line.Contains(",=", StringComparison.Ordinal) || line.Contains(",+", StringComparison.Ordinal) || line.Contains(",-", StringComparison.Ordinal) || line.Contains(",@", StringComparison.Ordinal));
        Assert.Contains("\"'=cmd|' /C calc'!A0\"", csv, StringComparison.Ordinal);
        Assert.Contains("\"a\"\"b,c =1\"", csv, StringComparison.Ordinal);
        Assert.DoesNotContain(html + csv + text, static c => c is '\u001b' or '\u202E' or '\t');
        Assert.All(text.Split('\n'), static line => Assert.True(line.Length <= ReportText.Columns, line));
    }

    [Fact]
    public void A_domain_that_forwards_in_mass_is_marked()
    {
        Report report = Sample([]) with
        {
            Sections = [new ReportSection(ReportSection.Forwards, "Forwarded", ReportColumns.Messages | ReportColumns.Forwarded,
                [new ReportRow("domain", "shop.test") { Messages = 200, Forwarded = 150, IsFlagged = true }], 1)],
        };

        Assert.Contains("shop.test (mass)", ReportText.Write(report), StringComparison.Ordinal);
        Assert.Contains("shop.test (mass)</b>", ReportHtml.Write(report), StringComparison.Ordinal);
        Assert.EndsWith(",200,0,0,,,,150,,1\r\n", ReportCsv.Write(report), StringComparison.Ordinal);
    }

    private static Report Sample(System.Collections.Immutable.ImmutableArray<ReportRow> mailboxes) => new()
    {
        Hostname = "relay.test",
        Period = ReportPeriod.Day,
        Begin = DateTimeOffset.UnixEpoch,
        End = DateTimeOffset.UnixEpoch.AddDays(1),
        At = DateTimeOffset.UnixEpoch.AddDays(1),
        Object = AccountKey.Server,
        LimitsEnforced = true,
        Totals = new ReportSection(ReportSection.Totals, "", ReportColumns.Messages, [new ReportRow("period", "period")], 1),
        Sections = [new ReportSection("mailboxes", "Top mailboxes", ReportColumns.OfObjects, mailboxes, mailboxes.Length)],
    };

    private Task<Report> MakeAsync(AccountKey key, ReportPeriod period = ReportPeriod.Day, int top = 10) =>
        Maker.MakeAsync(new ReportRequest(period, ReportPeriods.EndOfHour(_queue.Time.GetUtcNow()), key, top, true), CancellationToken.None);

    private static ReportSection Section(Report report, string key) => report.Sections.Single(section => section.Key == key);
}
