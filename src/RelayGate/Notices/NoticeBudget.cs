using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>How many new notices one period may have: what one kind or one subscription uses up is not taken from others.</summary>
internal sealed class NoticeBudget(TimeSpan period)
{
    /// <summary>Of one kind; what comes beyond is dropped and counted.</summary>
    public const int MaxOfKind = 5000;

    /// <summary>Of one kind and subscription, likewise.</summary>
    public const int MaxOfSubscription = 500;

    /// <summary>Addresses that guess passwords; those beyond share one notice.</summary>
    public const int MaxClients = 100;

    private readonly Dictionary<(NoticeKind Kind, string? Subscription), int> _used = []; // At most MaxOfKind subscriptions of each kind.
    private long _began;
    private int _clients;

    /// <param name="now">Milliseconds, by the clock of notices.</param>
    /// <returns>False: it is too much.</returns>
    public bool Take(Notice notice, long now)
    {
        Begin(now);
        (NoticeKind, string?) all = (notice.Kind, null);
        (NoticeKind, string?)? own = notice.Subscription is { } subscription ? (notice.Kind, subscription) : null;
        if (_used.GetValueOrDefault(all) >= MaxOfKind || (own is { } mine && _used.GetValueOrDefault(mine) >= MaxOfSubscription))
            return false;
        _used[all] = _used.GetValueOrDefault(all) + 1;
        if (own is { } known)
            _used[known] = _used.GetValueOrDefault(known) + 1;
        return true;
    }

    /// <returns>False: many addresses have had a notice each.</returns>
    public bool TakeClient(long now)
    {
        Begin(now);
        if (_clients >= MaxClients)
            return false;
        _clients++;
        return true;
    }

    private void Begin(long now)
    {
        if (now - _began < (long)period.TotalMilliseconds)
            return;
        _began = now;
        _clients = 0;
        _used.Clear();
    }
}
