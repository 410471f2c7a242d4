using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Notices;
using RelayGate.Reports;

namespace RelayGate.Storage;

/// <summary>Who is told of an object goes with it: a later namesake's notices and reports are none of their business.</summary>
internal static class FollowerRows
{
    /// <summary>Removes the schedules of reports about an object, and with a subscription its webhooks and the kinds its contact is told of.</summary>
    /// <param name="subscription">Whose user may see it in the audit list; null: administrators alone.</param>
    public static void Remove(DbConnection db, AccountKey key, string? subscription, DateTimeOffset now, string by)
    {
        foreach (ReportSchedule schedule in ReportSchedules.Of(db, key))
        {
            ReportSchedules.Remove(db, schedule.Id);
            AuditRows.Add(db, now, by, "report schedule remove", $"report schedule {schedule.Id}", subscription, schedule.ToString(), "");
        }
        if (key.Level != Level.Subscription)
            return;
        foreach (WebhookView hook in WebhookRows.Of(db, key.Name, now))
            WebhookRows.Remove(db, hook, now, by);
        NoticeRows.SetOwnerKinds(db, key.Name, null);
    }
}
