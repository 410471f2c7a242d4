namespace RelayGate.Queue;

/// <summary>The part that makes flows and lanes, and follows how lanes fare.</summary>
public sealed partial class QueueScheduler
{
    /// <summary>Notes how a job fared where it counts from now on: its attempt may have found the site of its domain.</summary>
    private void NoteHealth(DeliveryJob job, DestinationLane lane, JobEnd end)
    {
        string key = _lanes.KeyOf(job.Message.Subscription, job.Recipients[0]);
        if (!_lanes.IsEarned(key))
            return;
        if (key == lane.Key || _laneByKey.TryGetValue(key, out lane!))
        {
            LaneHealth before = lane.Health;
            lane.Note(end);
            if (lane.Health != before)
                Move(lane, before);
        }
        else
            _earned.Set(key, (DestinationLanes.FirstBound, end == JobEnd.Served ? LaneHealth.Serves : LaneHealth.Stuck));
    }

    private DestinationLane NewLane(string key)
    {
        int bound = Math.Max(1, _lanes.BoundOf(key));
        if (!_lanes.IsEarned(key))
            return new DestinationLane(key, bound, bound, LaneHealth.Serves);
        return _earned.TryGet(key, out (int Allowed, LaneHealth Health) earlier)
            ? new DestinationLane(key, bound, Math.Min(bound, earlier.Allowed), earlier.Health)
            : new DestinationLane(key, bound, Math.Min(bound, DestinationLanes.FirstBound), LaneHealth.Unknown);
    }

    private SubscriptionFlow Flow(string subscription, string laneKey)
    {
        if (!_laneByKey.TryGetValue(laneKey, out DestinationLane? lane))
            _laneByKey.Add(laneKey, lane = NewLane(laneKey));
        if (!_subscriptions.TryGetValue(subscription, out SubscriptionQueue? queue))
            _subscriptions.Add(subscription, queue = new SubscriptionQueue(subscription));
        if (!queue.Flows.TryGetValue(lane, out SubscriptionFlow? flow))
        {
            queue.Flows.Add(lane, flow = new SubscriptionFlow(queue, lane));
            lane.Flows++;
        }
        return flow;
    }

    private void RemoveIfUnused(SubscriptionFlow flow)
    {
        if (!flow.IsUnused || !flow.Owner.Flows.Remove(flow.Lane))
            return;
        if (--flow.Lane.Flows == 0)
        {
            _laneByKey.Remove(flow.Lane.Key);
            if (flow.Lane.Health != LaneHealth.Unknown && _lanes.IsEarned(flow.Lane.Key))
                _earned.Set(flow.Lane.Key, (flow.Lane.Allowed, flow.Lane.Health));
        }
        if (flow.Owner.Flows.Count == 0)
            _subscriptions.Remove(flow.Owner.Name);
    }
}
