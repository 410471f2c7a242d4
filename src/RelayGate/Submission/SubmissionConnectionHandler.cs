using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using RelayGate.Configuration;
using RelayGate.Core.Smtp;
using RelayGate.Telemetry;

namespace RelayGate.Submission;

/// <summary>
/// One listener's connections: <c>kestrel.Listen(endpoint, o => o.Run(new SubmissionConnectionHandler(listener, service).OnConnectedAsync))</c>.
/// </summary>
public sealed class SubmissionConnectionHandler(ListenerOptions listener, SubmissionService service) : ConnectionHandler
{
    /// <summary>Runs one session. The one place where a session's exceptions are caught.</summary>
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        SubmissionClient client = SubmissionClient.Of(connection, listener, service.Processes);
        using var channel = new SmtpChannel(connection.Transport.Input, connection.Transport.Output, service.Time);
        service.Sessions.Watch(channel);
        try
        {
            if (!service.Sessions.TryEnter())
            {
                await TurnAwayAsync(channel, client, Replies.TooManySessions, "max");
                return;
            }
            try
            {
                await RunCountedAsync(connection, channel, client);
            }
            finally
            {
                service.Sessions.Leave();
            }
        }
        finally
        {
            service.Sessions.Unwatch(channel);
        }
    }

    private async Task RunCountedAsync(ConnectionContext connection, SmtpChannel channel, SubmissionClient client)
    {
        if (client.AddressKey is { } key && !service.Sessions.TryEnterAddress(key))
        {
            await TurnAwayAsync(channel, client, Replies.TooManyFromAddress, "per-address");
            return;
        }
        service.Metrics.SessionOpened();
        CancellationToken stopping = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        var session = new SmtpSession(service, client, connection, channel);
        try
        {
            await using CancellationTokenRegistration registration =
                stopping.UnsafeRegister(static channel => ((SmtpChannel)channel!).RequestStop(), channel);
            await session.RunAsync();
        }
        catch (Exception error) when (error is IOException or ConnectionAbortedException or OperationCanceledException) // Reset, or aborted at shutdown.
        {
            Log.SessionLost(service.Logger, client.Listener, client.Address, error.Message);
        }
        catch (Exception error)
        {
            Log.SessionFailed(service.Logger, error, client.Listener, client.Address);
            await TryCloseAsync(channel, client, Replies.InternalError);
        }
        finally
        {
            await session.DisposeAsync();
            service.Metrics.SessionClosed();
            if (client.AddressKey is { } counted)
                service.Sessions.LeaveKey(counted);
        }
    }

    private async Task TurnAwayAsync(SmtpChannel channel, SubmissionClient client, SmtpReply reply, string reason)
    {
        service.Metrics.SessionsRefused.Increment(reason);
        Log.SessionRefused(service.Logger, client.Listener, client.Address, reply.ToString());
        if (client.Tls != ListenerTls.Implicit) // Inside TLS there is nobody yet to say it to.
            await TryCloseAsync(channel, client, reply);
    }

    private async Task TryCloseAsync(SmtpChannel channel, SubmissionClient client, SmtpReply reply)
    {
        try
        {
            await channel.CloseAsync(reply);
        }
        catch (Exception error) when (error is IOException or InvalidOperationException or OperationCanceledException)
        {
            Log.SessionLost(service.Logger, client.Listener, client.Address, error.Message);
        }
    }
}
