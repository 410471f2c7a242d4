using RelayGate.Accounts;
using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>Makes notices of what other parts report. What is called here runs on their threads, and none of it blocks.</summary>
internal sealed class NoticeHooks(NoticeBoard board, AccountDirectory accounts)
{
    public void Attach() => accounts.SuspensionTold += Suspended;

    private void Suspended(SuspensionNews news) => board.Raise(new Notice
    {
        Kind = news.IsSuspended ? NoticeKind.Suspended : NoticeKind.Resumed,
        Level = news.Kind,
        Name = news.Name,
        Subscription = news.Subscription,
        By = news.By,
    });
}
