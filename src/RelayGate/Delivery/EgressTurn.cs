using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>What one attempt asks of the states of its local addresses, and tells them: each address at each provider once, whatever hosts it tries.</summary>
internal sealed class EgressTurn(EgressStates states, DeliveryJob job) : IDisposable
{
    private readonly List<(EgressKey Key, EgressGrant? Grant)> _asked = new(1);
    private List<(EgressBinding Binding, AddressFamily Family)>? _barred;
    private EgressGrant? _current;
    private (PutOff Wait, string Provider)? _wait;
    private RecipientOutcome?[] _told = [];

    /// <summary>Whether this address may be dialled from there now.</summary>
    public bool MayDial(EgressBinding binding, NextHopAddress nextHop)
    {
        if (_barred is not null && _barred.Contains((binding, nextHop.EndPoint.AddressFamily)))
            return false;
        IPAddress local = binding.Address ?? SystemChoice.Of(nextHop.EndPoint.AddressFamily);
        var key = new EgressKey(local, nextHop.Provider);
        int index = _asked.FindIndex(asked => asked.Key == key);
        if (index >= 0)
        {
            _current = _asked[index].Grant;
            return _current is { } grant && !states.IsStopped(grant);
        }
        _current = states.Ask(key, job.Recipients[0].NextAttempt, out PutOff? wait);
        if (wait is not null)
            _wait ??= (wait, key.Provider);
        _asked.Add((key, _current));
        return _current is not null;
    }

    /// <summary>Nothing more is dialled from there in this attempt.</summary>
    /// <param name="nextHop">Its family counts, where the system chooses the address.</param>
    public void Bar(EgressBinding binding, NextHopAddress nextHop) => (_barred ??= []).Add((binding, nextHop.EndPoint.AddressFamily));

    /// <summary>Tells what the next hop said of the address that was dialled from last.</summary>
    public void Report(AttemptResult result)
    {
        if (_current is not { } grant)
            return;
        bool isTaken = false;
        RecipientOutcome?[] before = _told;
        _told = [.. result.Outcomes];
        for (int i = 0; i < _told.Length; i++)
        {
            RecipientOutcome? outcome = _told[i];
            if (before.Length > 0 && ReferenceEquals(outcome, before[i]))
                continue; // Of another host, perhaps from another address.
            if (outcome is { ConcernsEgress: true, Finding: { } finding })
            {
                result.Provider = grant.Pair.Key.Provider; // What the record names is what the pause is of, whatever other hosts are tried.
                result.AddressWait = states.Refused(grant, finding, outcome.Text, job.Message.Subscription);
                return;
            }
            isTaken |= outcome is { Kind: OutcomeKind.Delivered } or { Finding.Class: ReplyClass.InvalidRecipient or ReplyClass.MailboxFull };
        }
        if (isTaken)
            states.Succeeded(grant);
    }

    /// <summary>Nothing else may be tried: what could not go from any address is put off.</summary>
    public void End(AttemptResult result)
    {
        if (_wait is var (wait, provider) && result.WantsNextHost)
            result.PutOff(wait, provider);
    }

    public void Dispose()
    {
        foreach ((_, EgressGrant? asked) in _asked)
        {
            if (asked is { } grant)
                states.Release(grant);
        }
    }
}
