using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Orders in one line.</summary>
internal static class QueueOrderHelpers
{
    public static Task<QueueOrderResult> HoldAsync(
        this QueueAdministration queue, QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = "the gateway") =>
        OrderAsync(queue, QueueOrder.Hold, selection, dryRun, onlySubscription, by, cancellationToken);

    public static Task<QueueOrderResult> ReleaseAsync(
        this QueueAdministration queue, QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = "the gateway") =>
        OrderAsync(queue, QueueOrder.Release, selection, dryRun, onlySubscription, by, cancellationToken);

    public static Task<QueueOrderResult> RetryAsync(
        this QueueAdministration queue, QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = "the gateway") =>
        OrderAsync(queue, QueueOrder.Retry, selection, dryRun, onlySubscription, by, cancellationToken);

    public static Task<QueueOrderResult> DeleteAsync(
        this QueueAdministration queue, QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = "the gateway") =>
        OrderAsync(queue, QueueOrder.Delete, selection, dryRun, onlySubscription, by, cancellationToken);

    public static Task<QueueOrderResult> FlushAsync(this QueueAdministration queue, bool dryRun, string? onlySubscription, CancellationToken cancellationToken) =>
        OrderAsync(queue, QueueOrder.Flush, QueueSelection.All(), dryRun, onlySubscription, cancellationToken: cancellationToken);

    public static Task<QueueOrderResult> OrderAsync(
        this QueueAdministration queue, QueueOrder order, QueueSelection selection, bool dryRun = false, string? onlySubscription = null,
        string by = "the gateway", CancellationToken cancellationToken = default) =>
        queue.RunAsync(new QueueOrderRequest(order, selection) { DryRun = dryRun, OnlySubscription = onlySubscription, By = by }, cancellationToken);
}
