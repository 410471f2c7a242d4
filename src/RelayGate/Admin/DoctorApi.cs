using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary><c>doctor</c>: looks for what is wrong or soon will be. Only looks at this host: nothing is sent.</summary>
internal sealed class DoctorApi(RelayGateOptions options, AccountAdministration accounts, QueueGauge gauge, RelayGateMetrics metrics, TimeProvider time)
{
    private const string Ok = "ok";
    private const string Warning = "warning";
    private const string Bad = "problem";

    private static readonly TimeSpan OldMail = TimeSpan.FromHours(4);

    public void Map(AdminDispatcher api) => api.ReadAll("doctor", async r => AdminJson.List(await LookAsync(r.Aborted), Json));

    private sealed record Finding(string Check, string Result, string Text);

    private async Task<List<Finding>> LookAsync(CancellationToken cancellationToken)
    {
        List<Finding> findings =
        [
            options.Postmaster.Length > 0
                ? new("postmaster", Ok, options.Postmaster)
                : new("postmaster", Warning, "RelayGate:Postmaster is empty: mail to system users without a contact has nowhere to go"),
            options.Hostname.Contains('.')
                ? new("hostname", Ok, options.Hostname)
                : new("hostname", Warning, $"RelayGate:Hostname is {options.Hostname}: receivers expect a full name such as relay.example.net"),
            Space(),
            Counter("egress", metrics.EgressMismatches.Total, "connections closed because the local address was not the decided one"),
            Counter("egress binding", metrics.EgressBindFailures.Total, "connections not made because the egress address could not be bound"),
            Counter("store", metrics.StoreErrors.Total, "batches of the store failed since the start; the log has the details"),
            Counter("records", metrics.DroppedRefusals.Total, "refusals have no record: too many waited for the store, or it failed"),
            Counter("mail log", metrics.DroppedLogLines.Total, "lines were dropped since the start"),
        ];
        QueueFigures queue = await gauge.RefreshAsync(cancellationToken);
        TimeSpan age = queue.OldestAt is { } oldest ? time.GetUtcNow() - oldest : TimeSpan.Zero;
        findings.Add(age > OldMail
            ? new("queue", Warning, $"{queue.Active} active, {queue.Deferred} deferred, {queue.Held} held; the oldest for {age.TotalHours:0} hours: relaygate queue list")
            : new("queue", Ok, $"{queue.Active} active, {queue.Deferred} deferred, {queue.Held} held"));
        findings.AddRange(await AddressesAsync(cancellationToken));
        return findings;
    }

    private Finding Space()
    {
        long free;
        try
        {
            free = new DriveInfo(options.DataDirectory).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new("disk", Bad, $"{options.DataDirectory} cannot be looked at: new mail is answered 452");
        }
        long least = options.Storage.MinimumFree;
        string text = $"{free / 1_048_576} MiB free in {options.DataDirectory}, below {least / 1_048_576} MiB new mail is answered 452";
        return new("disk", free < least ? Bad : free < 4 * least ? Warning : Ok, text);
    }

    private static Finding Counter(string check, long count, string text) =>
        count == 0 ? new(check, Ok, "nothing since the start") : new(check, Warning, $"{count} {text}");

    /// <summary>Whether this host can send from each address it was given.</summary>
    private async Task<List<Finding>> AddressesAsync(CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        Page<AddressView> page = AdminJson.Value(await accounts.ListAddressesAsync(null, AccountAdministration.MaxPage, cancellationToken));
        foreach (AddressView address in page.Items)
        {
            using var probe = new Socket(IPAddress.Parse(address.Address).AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Parse(address.Address), 0));
                findings.Add(new($"address {address.Address}", Ok, $"is on this host, greets as {address.Helo}"));
            }
            catch (SocketException)
            {
                findings.Add(new($"address {address.Address}", Bad, $"is not on this host: mail of {address.Subscription ?? "those who share it"} waits (ip -brief address)"));
            }
        }
        return findings;
    }

    private static JsonNode Json(Finding finding) => new JsonObject { ["check"] = finding.Check, ["result"] = finding.Result, ["text"] = finding.Text };
}
