using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Reports;

/// <summary>Adds, lists and removes schedules of reports; what is changed stands in the audit list.</summary>
public sealed class ReportBook(SqliteRelayStore store, QueueWriter writer, TimeProvider time)
{
    /// <param name="schedule">Its number and time are given here.</param>
    /// <param name="by">Who adds it.</param>
    /// <returns>As it is stored; null: there are <see cref="ReportSchedules.MaxSchedules"/> already.</returns>
    public Task<ReportSchedule?> AddAsync(ReportSchedule schedule, string by, CancellationToken cancellationToken) => writer.WriteAsync(
        db =>
        {
            DateTimeOffset now = DateTimeOffset.FromUnixTimeMilliseconds(time.GetUtcNow().ToUnixTimeMilliseconds());
            ReportSchedule added = schedule with { AddedAt = now };
            if (ReportSchedules.Add(db, added) is not { } id)
                return null;
            AuditRows.Add(db, now, by, "report schedule add", Name(id), null, "", added.ToString());
            return added with { Id = id };
        },
        cancellationToken: cancellationToken);

    /// <returns>False: there is none of this number.</returns>
    public Task<bool> RemoveAsync(long id, string by, CancellationToken cancellationToken) => writer.WriteAsync(
        db =>
        {
            if (ReportSchedules.Find(db, id) is not { } schedule)
                return false;
            ReportSchedules.Remove(db, id);
            AuditRows.Add(db, time.GetUtcNow(), by, "report schedule remove", Name(id), null, schedule.ToString(), "");
            return true;
        },
        cancellationToken: cancellationToken);

    /// <summary>All, each with the time for which a report was sent last.</summary>
    public Task<List<(ReportSchedule Schedule, DateTimeOffset? LastSent)>> ListAsync(CancellationToken cancellationToken) => store.ReadAsync(
        static db => ReportSchedules.All(db).ConvertAll(schedule => (schedule, ReportSchedules.LastSent(db, schedule.Id))), cancellationToken);

    /// <summary>Whether a report can be sent there.</summary>
    public static bool IsReceiver(string text) => MailboxAddress.TryParse(text, out MailboxAddress? address) && address.Domain is not null;

    private static string Name(long id) => $"report schedule {id}";
}
