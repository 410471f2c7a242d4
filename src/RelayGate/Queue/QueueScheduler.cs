namespace RelayGate.Queue;

/// <summary>Hands committed messages to delivery: straight from memory when new, from the store when due; fair between subscriptions.</summary>
public sealed class QueueScheduler
{
    /// <summary>Waits for the next job that may start now. Called by each delivery worker; null when stopping.</summary>
    public ValueTask<DeliveryJob?> TakeAsync(CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Ends a job, whether its attempt was committed or it could not be tried: its message may be picked again.</summary>
    public void Complete(DeliveryJob job) => throw new NotImplementedException();
}
