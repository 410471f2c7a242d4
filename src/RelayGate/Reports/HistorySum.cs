using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Storage;

namespace RelayGate.Reports;

/// <summary>What one name had in some hours.</summary>
internal sealed class HistorySum
{
    public long Messages { get; private set; }

    public long Recipients { get; private set; }

    public long Refused { get; private set; }

    public long Exempt { get; private set; }

    public long Held { get; private set; }

    public long Bounced { get; private set; }

    public long Forwarded { get; private set; }

    public long HoursOver { get; private set; }

    /// <summary>All that was offered: by this objects are put in order.</summary>
    public long Offered => Messages + Refused + Held;

    /// <summary>Adds a row of <see cref="HistorySql.ObjectColumns"/>, which begin at a column. Hours over are added by hour.</summary>
    public void AddObject(SqliteStatement row, int column)
    {
        Messages += row.Int64(column + 1);
        Recipients += row.Int64(column + 2);
        Refused += row.Int64(column + 3);
        Exempt += row.Int64(column + 4);
        Held += row.Int64(column + 5);
        Bounced += row.Int64(column + 6);
        if (row.Int64(column) == (long)MessageClass.Forward)
            Forwarded += row.Int64(column + 1);
    }

    /// <summary>Adds a row of a source: messages, recipients, refused.</summary>
    public void AddSource(SqliteStatement row, int column)
    {
        Messages += row.Int64(column);
        Recipients += row.Int64(column + 1);
        Refused += row.Int64(column + 2);
    }

    public void AddHourOver() => HoursOver++;

    public void Add(HistorySum other)
    {
        Messages += other.Messages;
        Recipients += other.Recipients;
        Refused += other.Refused;
        Exempt += other.Exempt;
        Held += other.Held;
        Bounced += other.Bounced;
        Forwarded += other.Forwarded;
        HoursOver += other.HoursOver;
    }

    public ReportRow ToRow(string kind, string name) => new(kind, name)
    {
        Messages = Messages,
        Recipients = Recipients,
        Refused = Refused,
        Exempt = Exempt,
        Held = Held,
        Bounced = Bounced,
        Forwarded = Forwarded,
        HoursOver = HoursOver,
    };

    /// <summary>As <see cref="ToRow"/>, for what has no other figures.</summary>
    public ReportRow ToSourceRow(string kind, string name) => new(kind, name) { Messages = Messages, Recipients = Recipients, Refused = Refused };
}
