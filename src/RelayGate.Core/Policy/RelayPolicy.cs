using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Policy;

/// <summary>Says whether one message may enter the queue. Pure: same arguments, same answer; the first rule that matches wins.</summary>
public static class RelayPolicy
{
    /// <param name="account">The sender, looked up for this envelope (and header From once it is known).</param>
    /// <param name="usage">One ring for each of the account's levels.</param>
    /// <param name="envelope">At MAIL it has no recipients yet; one message to at least one recipient is then assumed.</param>
    /// <param name="message">Null until the end of data.</param>
    public static Decision Decide(SenderAccount account, UsageView usage, Envelope envelope, MessageFacts? message) => throw new NotImplementedException();
}
