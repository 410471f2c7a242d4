using System.Net;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Tells what was seen of a local address, by what is stored and what is not written yet.</summary>
public sealed class EgressUses(SqliteRelayStore store, QueueWriter writer, LocalAddresses local, TimeProvider time)
{
    /// <summary>Looks whether this host has it now, and reads the rest.</summary>
    public async Task<EgressUse> OfAsync(IPAddress address, CancellationToken cancellationToken)
    {
        EgressUse stored = await store.ReadRawAsync(connection => EgressUseRows.Read(connection, address.ToString()), cancellationToken);
        DateTimeOffset? missingSince = LocalAddresses.CanBind(address) ? null : local.MissingSince(address) ?? time.GetUtcNow();
        return stored with { LastUse = local.LastUseOf(address) ?? stored.LastUse, MissingSince = missingSince };
    }

    /// <summary>Keeps what a probe saw.</summary>
    /// <param name="seenAs">Null: it named no address.</param>
    public Task ProbedAsync(IPAddress address, string? seenAs, string by, CancellationToken cancellationToken) => writer.RunAsync(
        context =>
        {
            EgressUseRows.Probed(context, address, seenAs, by, time.GetUtcNow());
            return true;
        },
        cancellationToken);
}
