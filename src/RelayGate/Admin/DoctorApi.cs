using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Policy;
using RelayGate.Dns;
using RelayGate.Egress;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Telemetry;
using RelayGate.Tls;

namespace RelayGate.Admin;

/// <summary><c>doctor</c>: looks for what is wrong or soon will be. Looks at this host, asks its DNS servers, and tries its own listeners; nothing else is sent.</summary>
internal sealed class DoctorApi(
    RelayGateOptions options, AccountAdministration accounts, QueueGauge gauge, RelayGateMetrics metrics, ServerCertificate certificate, DnsResolver dns, RelayProbe probe, NoticeService notices,
    WebhookAdministration webhooks, AccountDirectory directory, EgressStates states, EgressControl control, TimeProvider time)
{
    private const string Ok = "ok";
    private const string Note = "note";
    private const string Warning = "warning";
    private const string Bad = "problem";

    private const int MaxStates = 20; // Each with a line of its own.

    private static readonly TimeSpan OldMail = TimeSpan.FromHours(4);
    private static readonly TimeSpan DnsPatience = TimeSpan.FromSeconds(10);

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
            ProcessFacts(),
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
        findings.Add(Deliveries());
        findings.AddRange(await NoticesAsync(cancellationToken));
        if (certificate.ExpiresAt is { } expiry)
            findings.Add(Certificate(expiry));
        if (options.Delivery.NextHop == "mx")
            findings.Add(await DnsAsync(cancellationToken));
        findings.Add(await LimitsAsync(cancellationToken));
        findings.AddRange(await AddressesAsync(cancellationToken));
        findings.AddRange(await StatesAsync(cancellationToken));
        findings.AddRange((await probe(cancellationToken)).Select(Relay));
        return findings;
    }

    /// <summary>Whether a listener relays for a stranger.</summary>
    private static Finding Relay(RelayProbeResult result)
    {
        string check = $"relay {result.Target}";
        return result switch
        {
            { Fault: { } fault } => new(check, Warning, $"could not be tried: {fault}"),
            { Taken: null } => new(check, Ok, $"refuses strangers: {result.Tried} forms of sender and recipient tried, none taken"),
            { Taken: { } taken, Identity: null } => new(check, Bad, $"takes mail of strangers ({taken}): an open relay; stop it and report this"),
            { Taken: { } taken, Identity: { } identity } => identity.StartsWith("network ", StringComparison.Ordinal)
                ? new(check, Warning, $"takes mail of every program on this host without login, as {identity} is listed ({taken}): relaygate network remove {identity["network ".Length..]}")
                : new(check, Ok, $"takes mail of the gateway's own user, {identity}, who belongs to a subscription ({taken})"),
        };
    }

    /// <summary>How much mail passes the limits by.</summary>
    private async Task<Finding> LimitsAsync(CancellationToken cancellationToken)
    {
        LimitView server = AdminJson.Value(await accounts.ShowLimitAsync(AccountKey.Server, cancellationToken));
        if (server.EnforcementOrigin == "Limits:Enforce")
            return new("limits", Warning, $"Limits:Enforce is false: nothing is limited ({server.Messages} messages in the last 24 h); relaygate setting set Limits:Enforce true");
        return server.Exempt > 0
            ? new("limits", Warning, $"no limit held for {server.Exempt} of {server.Messages} messages of the last 24 h: exempt networks or classes (relaygate network list, relaygate setting list)")
            : new("limits", Ok, $"held for all {server.Messages} messages of the last 24 h");
    }

    /// <summary>Whether anything goes out at all: the figures since the start.</summary>
    private Finding Deliveries()
    {
        long delivered = metrics.Deliveries.Value("delivered"), deferred = metrics.Deliveries.Value("deferred"), failed = metrics.Deliveries.Value("failed");
        string text = $"{delivered} recipients delivered, {deferred} times deferred, {failed} failed since the start";
        return delivered == 0 && deferred + failed > 0
            ? new("deliveries", Warning, $"{text}: does the next hop {options.Delivery.NextHop} take mail? (relaygate queue list has its last reply)")
            : new("deliveries", Ok, text);
    }

    /// <summary>Whether anybody would hear of it.</summary>
    private async Task<List<Finding>> NoticesAsync(CancellationToken cancellationToken)
    {
        long dropped = metrics.DroppedNotices.Total;
        List<Finding> findings =
        [
            notices.Administrator is not { } administrator ? new("notices", Warning, "nobody is told by mail: set RelayGate:Postmaster or RelayGate:Notices:Administrator")
                : dropped > 0 ? new("notices", Warning, $"{dropped} notices were dropped since the start; the metric relaygate_notices_dropped_total says why")
                : new("notices", Ok, $"go to {administrator.Text}; whether they arrive: relaygate notice test"),
        ];
        foreach (WebhookView hook in await webhooks.ListAsync(cancellationToken))
        {
            findings.Add(hook.Disabled is { } why ? new($"webhook {hook.Name}", Bad, $"{why}: relaygate webhook enable {hook.Name}")
                : hook.Waiting > 0 ? new($"webhook {hook.Name}", Warning, $"{hook.Waiting} deliveries wait: relaygate webhook history {hook.Name}")
                : new($"webhook {hook.Name}", Ok, "nothing waits"));
        }
        return findings;
    }

    private Finding Certificate(DateTimeOffset expiry)
    {
        DateTimeOffset now = time.GetUtcNow();
        return expiry <= now ? new("certificate", Bad, $"{options.Certificate.Path} has expired at {expiry:u}: clients that verify it cannot connect")
            : expiry - now < ServerCertificate.WarnBefore ? new("certificate", Warning, $"{options.Certificate.Path} expires at {expiry:u}")
            : new("certificate", Ok, $"{options.Certificate.Path} is valid until {expiry:u}");
    }

    /// <summary>Whether DNS answers, and knows the name that we greet with.</summary>
    private async Task<Finding> DnsAsync(CancellationToken cancellationToken)
    {
        DnsOutcome[] outcomes;
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        bound.CancelAfter(DnsPatience);
        try
        {
            string name = options.Hostname.ToLowerInvariant();
            DnsAnswer[] answers = await Task.WhenAll(
                dns.ResolveAsync(new DnsQuestion(name, DnsType.A), bound.Token).AsTask(), dns.ResolveAsync(new DnsQuestion(name, DnsType.Aaaa), bound.Token).AsTask());
            outcomes = [.. answers.Select(static answer => answer.Outcome)];
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            outcomes = [DnsOutcome.Failed];
        }
        if (outcomes.Contains(DnsOutcome.Found))
            return new("dns", Ok, $"answers, and knows {options.Hostname}");
        return outcomes.Contains(DnsOutcome.Failed)
            ? new("dns", Bad, $"no usable answer from {options.Delivery.Resolver ?? "the servers of /etc/resolv.conf"} about {options.Hostname}: without DNS mail waits")
            : new("dns", Warning, $"{options.Hostname} has no address in DNS: many receivers refuse who greets so");
    }

    /// <summary>Whether the record of local mail holds all that it can. Process 1 is another user's, unless the gateway is root, who may look anyway.</summary>
    private static Finding ProcessFacts() => Submission.ProcessReader.CanReadPaths()
        ? new("process facts", Ok, "executable and folder of other users can be read")
        : new("process facts", Note, "executable and folder of other users cannot be read: that takes CAP_SYS_PTRACE (systemd/relaygate-paths.conf says how, and what it costs)");

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
        foreach (Setting setting in AdminJson.Value(await accounts.ListSettingsAsync(cancellationToken)))
        {
            if (setting.Name is "Egress:IPv4" or "Egress:IPv6" && IPAddress.TryParse(setting.Value, out _))
                findings.Add(Address(setting.Value, $"the server's ({setting.Name}, {setting.Origin})", "those without an address of their own"));
        }
        string? after = null;
        do
        {
            Page<AddressView> page = AdminJson.Value(await accounts.ListAddressesAsync(after, AccountAdministration.MaxPage, [], cancellationToken));
            foreach (AddressView draining in page.Items.Where(static a => a.DrainingSince is not null))
                findings.Add(await DrainingAsync(draining, cancellationToken));
            findings.AddRange(page.Items.Where(static a => !SystemChoice.Is(IPAddress.Parse(a.Address))).Select(a => Address(a.Address, $"greets as {a.Helo}", a.Subscription ?? (a.IsServer ? "the server" : a.IsUsed ? "those who share it" : null))));
            after = page.Next;
        }
        while (after is not null);
        return [.. findings.DistinctBy(static f => f.Check)];
    }

    private async Task<Finding> DrainingAsync(AddressView address, CancellationToken cancellationToken)
    {
        IReadOnlyList<string> choosers = await directory.WhoChoosesAsync(IPAddress.Parse(address.Address), cancellationToken);
        return new($"drained {address.Address}", Note, $"since {address.DrainingSince:u}{(choosers.Count > 0 ? $"; new mail of {choosers[0]}{(choosers.Count > 1 ? " and others" : "")} leaves from it all the same, as it has no other of its family" : "")} (relaygate ip resume {address.Address})");
    }

    /// <summary>What keeps mail of addresses back.</summary>
    private async Task<List<Finding>> StatesAsync(CancellationToken cancellationToken)
    {
        ImmutableArray<EgressState> all = states.All();
        var findings = new List<Finding>();
        foreach (EgressState state in all.OrderByDescending(static s => s.Condition).Take(MaxStates))
        {
            string until = state.Until is { } end ? $" until {end:u}" : "";
            string why = state.Why.Length > 0 ? $": {state.Why}" : "";
            findings.Add(new($"{AdminJson.Word(state.Condition)} {state.Key}", Warning, $"since {state.Since:u}{until}, {await control.WaitingAsync(state.Key, cancellationToken)} recipients wait (relaygate ip show {state.Key.Address}){why}"));
        }
        if (all.Length > MaxStates)
            findings.Add(new("addresses", Warning, $"{all.Length - MaxStates} more are paused or slowed at providers (relaygate ip list)"));
        return findings;
    }

    /// <param name="whose">Null: nobody's mail leaves from it.</param>
    private static Finding Address(string address, string what, string? whose)
    {
        var local = IPAddress.Parse(address);
        try
        {
            using var probe = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            probe.Bind(new IPEndPoint(local, 0));
            return new($"address {address}", Ok, $"is on this host, {what}");
        }
        catch (SocketException)
        {
            if (whose is null)
                return new($"address {address}", Note, $"is not on this host, but nobody uses it (relaygate ip remove {address})");
            return new($"address {address}", Bad, $"is not on this host: mail of {whose} waits (ip -brief address)");
        }
    }

    private static JsonNode Json(Finding finding) => new JsonObject { ["check"] = finding.Check, ["result"] = finding.Result, ["text"] = finding.Text };
}
