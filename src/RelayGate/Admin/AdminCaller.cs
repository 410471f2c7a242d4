using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Who asks over the control socket, and what may be asked.</summary>
/// <param name="Subscription">What a caller who does not administrate may see; null for administrators.</param>
/// <param name="Since">From when on: what is older belonged to another subscription of this name.</param>
/// <param name="User">Name of the peer's user, or null.</param>
internal sealed record AdminCaller(ControlPeer Peer, bool IsAdministrator, string? Subscription, DateTimeOffset Since = default, string? User = null)
{
    public bool MaySee(QueueId id) => id.Timestamp >= Since;

    /// <summary>The part of a query that the caller may see.</summary>
    public MessageQuery Narrow(MessageQuery query) => query.Since is { } since && since > Since || Since == default ? query : query with { Since = Since };

    /// <summary>The server and the plans are many subscriptions': their figures are for administrators.</summary>
    /// <exception cref="ProblemException">403.</exception>
    public void RequireMayRead(AccountKey? key)
    {
        if (key is { Level: Level.Server or Level.Plan } && !IsAdministrator)
            throw new ProblemException(Problem.Forbidden($"uid {Peer.Uid} may only read what belongs to subscription {Subscription}"));
    }

    /// <summary>As records, the audit list and the mail log name who gave an order: <c>uid 0 (root)</c>.</summary>
    public override string ToString() => User is null ? $"uid {Peer.Uid}" : $"uid {Peer.Uid} ({User})";
}

/// <summary>Decides by the peer credentials of the control socket: root, our own uid and members of Admin:Group administrate; a subscription's uid sees its own, unless many sites share it.</summary>
/// <param name="group">Id of Admin:Group, or null.</param>
internal sealed class AdminAuthority(AccountDirectory directory, uint ownUid, uint? group)
{
    public bool IsAdministrator(ControlPeer peer) =>
        peer.Uid == 0 || (uint)peer.Uid == ownUid || (group is { } administrators && peer.Groups.Contains(administrators));

    /// <exception cref="ProblemException">403: a stranger.</exception>
    public async ValueTask<AdminCaller> RecogniseAsync(ControlPeer peer, CancellationToken cancellationToken)
    {
        if (IsAdministrator(peer))
            return new AdminCaller(peer, true, null, User: directory.UserName(peer.Uid));
        if (await directory.SubscriptionOfUserAsync(peer.Uid, cancellationToken) is { } subscription)
            return new AdminCaller(peer, false, subscription.Name, subscription.Since, directory.UserName(peer.Uid));
        throw new ProblemException(Problem.Forbidden($"uid {peer.Uid} may not use the control socket: become root or a member of the gateway's admin group"));
    }
}
