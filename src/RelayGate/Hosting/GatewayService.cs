using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Delivery;
using RelayGate.Egress;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Storage;
using RelayGate.Sts;
using RelayGate.Telemetry;
using RelayGate.TlsReports;

namespace RelayGate.Hosting;

/// <summary>Starts the parts in order (store, writer, scheduler, delivery; Kestrel's listeners come after) and stops them in reverse.</summary>
/// <remarks>
/// The host starts this service before the server and stops it after: when <see cref="StopAsync"/> runs, the sessions have ended.
/// Not a BackgroundService: its work would begin on the pool under the stopping token, and what must drain may not depend on that.
/// </remarks>
internal sealed class GatewayService(
    GatewayState state, ListenerPlan listeners, RelayGateOptions options, TimeProvider time, ILogger<GatewayService> logger, RelayGateMetrics metrics,
    QueueWriter writer, QueueScheduler scheduler, AccountDirectory accounts, QueueGauge gauge, Maintenance maintenance,
    DeliveryService delivery, HoldReleaser releaser, SuspendedMail suspended, HeldExpiry expiry, NoticeService notices, ReportSender reports, TlsReporter tlsReports, AccountUpkeep upkeep, StsPolicies sts, EgressWatch egress, EgressControl states,
    MailLog mailLog) : IHostedLifecycleService
{
    private readonly SystemdNotifier _systemd = SystemdNotifier.FromEnvironment();

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Postmaster.Length == 0)
            Log.NoPostmaster(logger);
        if (options.Admin.Group is { } group && listeners.AdminGroup is null)
            Log.NoAdminGroup(logger, group, NativeMethods.EffectiveUid());
        mailLog.Start();
        writer.Reopened += accounts.Forget;
        writer.Reopened += suspended.Apply; // After that: it goes by what the accounts say now.
        gauge.Start();
        metrics.ObserveQueue(
            () => States(gauge.Last), () => gauge.Last.OldestAt is { } oldest ? Math.Max(0, (time.GetUtcNow() - oldest).TotalSeconds) : 0,
            () => scheduler.MemoryOctets, () => scheduler.InFlight);
        metrics.Connections = delivery.Connections;
        metrics.QueueMemoryLimit = scheduler.WindowOctets;
        await maintenance.StartAsync(cancellationToken);
        await notices.StartAsync(cancellationToken);
        upkeep.Start();
        await reports.StartAsync(cancellationToken);
        await tlsReports.StartAsync();
        await states.StartAsync(cancellationToken);
        metrics.EgressStates = states.Numbers;
        await egress.StartAsync(cancellationToken); // Before mail is attempted from an address that is not here.
        await delivery.StartAsync(cancellationToken);
        expiry.Start();
        sts.Start();
    }

    /// <summary>All services have started: the listeners are bound.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        state.Listeners = listeners.Describe();
        state.Phase = GatewayPhase.Ready;
        _systemd.Ready("Relaying mail");
        return Task.CompletedTask;
    }

    /// <summary>Before any service stops: sessions still run.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        state.Phase = GatewayPhase.Stopping;
        _systemd.Stopping();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await EndAsync(() => reports.StopAsync(cancellationToken));
        End(expiry.Dispose);
        End(suspended.Dispose);
        End(releaser.Dispose);
        await EndAsync(() => delivery.StopAsync(cancellationToken));
        await EndAsync(() => sts.StopAsync(cancellationToken));
        await EndAsync(egress.StopAsync);
        End(states.Dispose);
        await EndAsync(() => tlsReports.StopAsync(cancellationToken)); // After the deliveries that it counts.
        await EndAsync(() => maintenance.StopAsync(cancellationToken));
        await EndAsync(upkeep.StopAsync);
        await EndAsync(() => notices.StopAsync(cancellationToken)); // After everything that could raise one.
        await EndAsync(() => gauge.RefreshAsync(CancellationToken.None)); // The last figures are those of the end.
        End(writer.Dispose);
        await EndAsync(mailLog.StopAsync);
    }

    /// <summary>One part that does not end in its time, or fails, keeps none of the others from ending, least of all the writer.</summary>
    private async Task EndAsync(Func<Task> stop)
    {
        try
        {
            await stop();
        }
        catch (Exception error)
        {
            Log.StopFailed(logger, error);
        }
    }

    private void End(Action stop)
    {
        try
        {
            stop();
        }
        catch (Exception error)
        {
            Log.StopFailed(logger, error);
        }
    }

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static (string, long)[] States(QueueFigures figures) => [("active", figures.Active), ("deferred", figures.Deferred), ("held", figures.Held)];
}
