using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;

namespace RelayGate.Notices;

/// <summary>Makes notices of what other parts report. What is called here runs on their threads, and none of it blocks.</summary>
internal sealed class NoticeHooks(NoticeBoard board)
{
    private const int MaxRefused = 1024;
    private static readonly TimeSpan RefusedPause = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, long> _refused = [];

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

    /// <summary>An address that mail leaves from has gone from this host, or is back.</summary>
    public void AddressChanged(AddressNews news) => board.Raise(new Notice
    {
        Kind = news.IsBack ? NoticeKind.EgressBack : NoticeKind.EgressMissing,
        Level = "address",
        Name = news.Address.ToString(),
        Remark = $"mail of {news.Whose ?? "those whose messages have it"}; missing since {NoticeText.Time(news.Since)}",
    });

    /// <summary>A provider refuses a local address, or takes its mail again.</summary>
    /// <param name="owner">The subscription that the address is exclusive to; null: several use it.</param>
    public void AddressRefused(EgressNews news, string? owner)
    {
        bool isHis = owner is null || owner == news.State.Subscription; // Else he had not yet got the address when another's message was refused.
        board.Raise(new Notice
        {
            Kind = news.IsEnded ? NoticeKind.IpRecovered : NoticeKind.IpBlocked,
            Level = "address",
            Name = news.State.Key.ToString(),
            Subscription = owner,
            NextPossible = news.IsEnded ? null : news.State.Until,
            Remark = $"{news.Waiting}{(news.Waiting == EgressControl.MaxCounted ? " or more" : "")} recipients wait"
                + (news.State.List is { } list ? $"; list {list}" : "") + (news.State.Url is { } url ? $"; {url}" : "")
                + (isHis && news.State.Subscription is { } subscription ? $"; mail of {subscription}" : "")
                + $"; {ReplyClassNames.NameOf(news.State.Class)}{(isHis ? $": {news.State.Why}" : "")}",
        });
    }

    /// <summary>A smarthost would not have us log in as its route says.</summary>
    public void LoginRefused(string smarthost, string? login, string said)
    {
        long now = Environment.TickCount64;
        lock (_refused)
        {
            if (_refused.TryGetValue(smarthost, out long last) && now - last < RefusedPause.TotalMilliseconds)
                return; // Each attempt says so again.
            if (_refused.Count >= MaxRefused)
                _refused.Clear();
            _refused[smarthost] = now;
        }
        board.Raise(new Notice
        {
            Kind = NoticeKind.LoginRefused,
            Level = "smarthost",
            Name = smarthost,
            Sources = login is null ? [] : [new NoticeSource("login", login, null)],
            Remark = said,
        });
    }
}
