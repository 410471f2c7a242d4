using System.Collections.Immutable;

namespace RelayGate.Queue;

/// <summary>Cuts a message into jobs: its recipients by destination, in the order of the envelope.</summary>
internal static class DestinationGroups
{
    public static ImmutableArray<DeliveryJob> Of(QueuedMessage message, ImmutableArray<QueuedRecipient> recipients, Func<string, QueuedRecipient, string> keyOf)
    {
        if (recipients.IsEmpty)
            return [];
        if (recipients.Length == 1)
            return [new DeliveryJob(message, recipients)];
        var groups = new Dictionary<string, ImmutableArray<QueuedRecipient>.Builder>();
        foreach (QueuedRecipient recipient in recipients)
        {
            string key = keyOf(message.Subscription, recipient);
            if (!groups.TryGetValue(key, out ImmutableArray<QueuedRecipient>.Builder? group))
                groups.Add(key, group = ImmutableArray.CreateBuilder<QueuedRecipient>());
            group.Add(recipient);
        }
        return [.. groups.Values.Select(group => new DeliveryJob(message, group.ToImmutable()))];
    }
}
