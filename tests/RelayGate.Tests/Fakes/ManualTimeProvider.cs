namespace RelayGate.Tests.Fakes;

/// <summary>A clock that stands still until a test moves it. Timers fire inside <see cref="Advance"/>, in order of time.</summary>
public sealed class ManualTimeProvider(DateTimeOffset? start = null) : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = start ?? new DateTimeOffset(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private long _elapsed;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
            return _now;
    }

    public override long GetTimestamp()
    {
        lock (_lock)
            return _elapsed + 1;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves wall clock and monotonic time on; each timer fires as often as it is due.</summary>
    public void Advance(TimeSpan by)
    {
        long end;
        lock (_lock)
            end = _elapsed + by.Ticks;
        while (true)
        {
            ManualTimer? due;
            lock (_lock)
            {
                due = _timers.Where(t => t.Due <= end).MinBy(t => t.Due);
                long to = due?.Due ?? end;
                if (to > _elapsed)
                {
                    _now += TimeSpan.FromTicks(to - _elapsed);
                    _elapsed = to;
                }
                if (due is null)
                    return;
                due.Rearm(_elapsed);
            }
            due.Fire();
        }
    }

    /// <summary>Whether a timer fires when the clock comes to a moment; a test waits for it before it moves the clock there.</summary>
    public bool HasTimer(DateTimeOffset at)
    {
        lock (_lock)
            return _timers.Exists(t => t.Due == _elapsed + (at - _now).Ticks);
    }

    /// <summary>Sets the wall clock alone, as a clock step does; monotonic time goes on undisturbed.</summary>
    public void StepWallClock(TimeSpan by)
    {
        lock (_lock)
            _now += by;
    }

    private sealed class ManualTimer(ManualTimeProvider owner, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period = Timeout.InfiniteTimeSpan;

        public long Due { get; private set; } = long.MaxValue;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (owner._lock)
            {
                _period = period;
                Due = dueTime == Timeout.InfiniteTimeSpan ? long.MaxValue : owner._elapsed + dueTime.Ticks;
                if (!owner._timers.Contains(this))
                    owner._timers.Add(this);
            }
            return true;
        }

        public void Rearm(long now) => Due = _period > TimeSpan.Zero ? now + _period.Ticks : long.MaxValue;

        public void Fire() => callback(state);

        public void Dispose()
        {
            lock (owner._lock)
                owner._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
