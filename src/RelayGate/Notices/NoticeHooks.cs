using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Notices;

/// <summary>Makes notices of what other parts report. What is called here runs on their threads, and none of it blocks.</summary>
internal sealed class NoticeHooks(NoticeBoard board)
{
    /// <summary>A limit was nearly used, reached, or has room again.</summary>
    public void Crossed(LimitCrossing crossing) => board.Raise(Of(crossing));

    /// <summary>The notice of a crossing.</summary>
    public static RaisedNotice Of(LimitCrossing crossing) => new(new Notice
    {
        Kind = crossing.Kind switch
        {
            CrossingKind.Warning => NoticeKind.Warning,
            CrossingKind.Exceeded => NoticeKind.Exceeded,
            _ => NoticeKind.Recovered,
        },
        Level = crossing.Key.Level.ToString().ToLowerInvariant(),
        Name = crossing.Key.Name,
        Class = crossing.Key.Class?.Word(),
        Subscription = crossing.Subscription,
        Limit = crossing.Limit.ToString(),
        Used = crossing.Used,
    }, crossing.At, null)
    {
        Crossing = crossing,
    };

    /// <summary>A script sends much more than it usually does.</summary>
    public void Burst(ScriptBurst burst) => board.Raise(new Notice
    {
        Kind = NoticeKind.ScriptBurst,
        Level = "script",
        Name = $"{burst.Key.Uid} {burst.Key.Script}",
        Subscription = burst.Subscription,
        Used = burst.Messages,
        Remark = $"within {burst.Window.TotalMinutes:0} minutes; usual are at most {burst.Usual}",
    });

    /// <summary>Passwords are being guessed.</summary>
    public void Guessed(GuessingDetected guessing) => board.Raise(new Notice
    {
        Kind = NoticeKind.PasswordGuessing,
        Level = guessing.Object == GuessedObject.Address ? "client" : "login",
        Name = guessing.Name,
        Used = guessing.Failures,
        Remark = $"since {NoticeText.Time(guessing.Since)}",
    });

    /// <summary>Somebody was suspended or resumed by hand.</summary>
    public void Suspended(SuspensionNews news) => board.Raise(new Notice
    {
        Kind = news.IsSuspended ? NoticeKind.Suspended : NoticeKind.Resumed,
        Level = news.Kind,
        Name = news.Name,
        Subscription = news.Subscription,
        By = news.By,
    });
}
