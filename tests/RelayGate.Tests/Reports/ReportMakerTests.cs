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

    private Task<Report> MakeAsync(AccountKey key, ReportPeriod period = ReportPeriod.Day, int top = 10) =>
        Maker.MakeAsync(new ReportRequest(period, ReportPeriods.EndOfHour(_queue.Time.GetUtcNow()), key, top, true), CancellationToken.None);

    private static ReportSection Section(Report report, string key) => report.Sections.Single(section => section.Key == key);
}
