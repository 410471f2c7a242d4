using Microsoft.AspNetCore.Connections;

namespace RelayGate.Hosting;

/// <summary>Bounds the HTTP connections: administrators, other users of the control socket and the admin endpoint each have room of their own.</summary>
/// <remarks>
/// In a full group the oldest connection gives way, so that whoever opens connections and says nothing never keeps others out; and a user who
/// has too many loses one of their own. Only an order for a large part of the queue takes longer than milliseconds; cut off, what it has done stays done.
/// </remarks>
internal sealed class HttpConnections
{
    /// <summary>Connections of each of the three groups.</summary>
    public const int PerGroup = 128;

    /// <summary>Connections of one user who does not administrate.</summary>
    public const int PerUid = 16;

    private readonly Lock _gate = new();
    private readonly LinkedList<Member> _administrators = [];
    private readonly LinkedList<Member> _users = [];
    private readonly LinkedList<Member> _endpoint = [];
    private readonly Dictionary<ConnectionContext, LinkedListNode<Member>> _members = new(ReferenceEqualityComparer.Instance);

    private readonly record struct Member(ConnectionContext Connection, int? Uid);

    /// <summary>Counts a connection in; another one is aborted for it where there is no room.</summary>
    /// <param name="uid">User at the other end of the control socket; null on the admin endpoint.</param>
    public void Enter(ConnectionContext connection, int? uid, bool isAdministrator)
    {
        ConnectionContext? last;
        lock (_gate)
        {
            LinkedList<Member> group = uid is null ? _endpoint : isAdministrator ? _administrators : _users;
            last = group == _users && group.Count(m => m.Uid == uid) >= PerUid ? Remove(group, group.First(m => m.Uid == uid))
                : group.Count >= PerGroup ? Remove(group, group.First!.Value)
                : null;
            _members.Add(connection, group.AddLast(new Member(connection, uid)));
        }
        last?.Abort(new ConnectionAbortedException("There is no room for it beside newer connections"));
    }

    /// <summary>Forgets a connection that has ended.</summary>
    public void Leave(ConnectionContext connection)
    {
        lock (_gate)
        {
            if (_members.Remove(connection, out LinkedListNode<Member>? member))
                member.List?.Remove(member);
        }
    }

    private ConnectionContext Remove(LinkedList<Member> group, Member member)
    {
        if (_members.Remove(member.Connection, out LinkedListNode<Member>? node))
            group.Remove(node);
        return member.Connection;
    }
}
