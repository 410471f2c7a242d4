using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>When what a recipient waits for ends, as people are told: the row's next attempt is only when it is looked at again, for the notice of its delay perhaps.</summary>
internal static class WaitEnds
{
    private const string SelectState = "select until, per_minute from egress_state where address = ? and provider = ?";

    /// <param name="waitsFor">As <see cref="WaitKey"/> writes it; null: for nothing.</param>
    /// <param name="next">Next attempt of the row, in ms since 1970; null: none.</param>
    /// <returns>Null: none, or nobody knows: when what it waits for ends.</returns>
    public static DateTimeOffset? NextAttempt(StoreConnection connection, string? waitsFor, long? next)
    {
        if (next is not { } at)
            return null;
        DateTimeOffset planned = RecordReader.Time(at);
        if (waitsFor is null)
            return planned;
        string[] words = waitsFor.Split(' ');
        if (words[0] == "connection")
            return planned;
        if (words[0] != "ip")
            return null; // Suspended, until it is resumed.
        SqliteStatement select = connection.Prepared(SelectState).Bind(1, words[1]).Bind(2, words.Length > 2 ? words[2] : "");
        (bool isThere, long? until, bool isSlowed) = select.Step() ? (true, select.NullableInt64(0), !select.IsNull(1)) : default;
        select.Reset();
        if (words.Length == 2)
            return until is { } end ? RecordReader.Time(end) : null; // It rests, or is missing.
        // Its turn by the pace, or behind the one that is tried first after a pause.
        return isThere && !isSlowed && until > at ? RecordReader.Time(until.Value) : planned;
    }
}
