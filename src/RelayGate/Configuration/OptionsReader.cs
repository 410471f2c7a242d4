using System.Globalization;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;

namespace RelayGate.Configuration;

/// <summary>Turns the joined configuration into <see cref="RelayGateOptions"/>. Every key, its range and its remedy stand here and nowhere else.</summary>
internal static class OptionsReader
{
    private const string EndpointRemedy = "\"ip:port\", \"[ipv6]:port\" or \"unix:/path\" (at most 107 octets) is expected";

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);
    private static readonly TimeSpan Year = TimeSpan.FromDays(366);

    public static RelayGateOptions Read(SettingsNode root, List<ConfigurationFault> faults)
    {
        var options = new RelayGateOptions();
        var top = new SettingsSection(root, "", faults);
        top.Find("$schema");
        if (top.Find("RelayGate") is not { Kind: SettingsKind.Object } node)
        {
            faults.Add(new ConfigurationFault(root.Source, "RelayGate", null, "missing; all options stand in { \"RelayGate\": { … } }"));
            return options;
        }
        top.FaultUnknownKeys();
        var gateway = new SettingsSection(node, "RelayGate", faults);
        ReadGateway(gateway, options);
        gateway.FaultUnknownKeys();
        return options;
    }

    private static void ReadGateway(SettingsSection s, RelayGateOptions options)
    {
        options.Hostname = s.Text("Hostname", OwnHostname(), t => Domain.TryParse(t, out _), "a host name such as \"relay.example.net\" is expected");
        options.Postmaster = s.Text("Postmaster", "", t => t.Length == 0 || MailboxAddress.TryParse(t, out _), "an address such as \"admin@example.net\", or \"\", is expected");
        options.DataDirectory = s.Path("DataDirectory", options.DataDirectory, "the path of a folder is expected");
        options.MaxMessageOctets = s.Integer("MaxMessageOctets", options.MaxMessageOctets, 65_536, 1_073_741_824, "octets");
        options.MaxRecipients = s.Integer("MaxRecipients", options.MaxRecipients, 100, 100_000, "recipients");
        ReadListeners(s, options);
        s.Section("Certificate", c =>
        {
            options.Certificate.Path = c.NullablePath("Path", null, "the path of a PEM file is expected");
            options.Certificate.KeyPath = c.NullablePath("KeyPath", null, "the path of a PEM file is expected");
        });
        s.Section("Admin", a =>
        {
            options.Admin.Endpoint = a.NullableText("Endpoint", options.Admin.Endpoint, t => ListenerEndpoint.TryParseTcp(t, out _), "\"ip:port\" is expected");
            options.Admin.Socket = a.Path("Socket", options.Admin.Socket, "the path of a socket is expected");
            options.Admin.Group = a.NullableText("Group", options.Admin.Group, t => t.Length is > 0 and <= 32 && !t.Contains(':'), "the name of a system group is expected");
            if (!ListenerEndpoint.IsSocketPath(options.Admin.Socket))
                a.Fault("Socket", a.Find("Socket") ?? a.Node, $"a path of at most {ListenerEndpoint.MaxSocketPathOctets} octets is expected");
        });
        s.Section("Egress", e =>
        {
            options.Egress.Mode = e.Choice("Mode", options.Egress.Mode);
            options.Egress.IPv4 = e.NullableText("IPv4", null, t => IsAddress(t, AddressFamily.InterNetwork), "an IPv4 address of this host is expected");
            options.Egress.IPv6 = e.NullableText("IPv6", null, t => IsAddress(t, AddressFamily.InterNetworkV6), "an IPv6 address of this host is expected");
            options.Egress.MissingFamily = e.Choice("MissingFamily", options.Egress.MissingFamily);
            options.Egress.NoAddress = e.Choice("NoAddress", options.Egress.NoAddress);
            options.Egress.Greeting = e.Choice("Greeting", options.Egress.Greeting);
            options.Egress.IPv6Enabled = e.Boolean("IPv6Enabled", options.Egress.IPv6Enabled);
            options.Egress.Probe = e.NullableText("Probe", null, t => ProbeTarget.TryParse(t, out _), ProbeTarget.Remedy);
            if (options.Egress is { Mode: EgressMode.Explicit, IPv4: null, IPv6: null })
                e.Fault("Mode", e.Find("Mode") ?? e.Node, "Explicit needs Egress:IPv4 or Egress:IPv6");
        });
        s.Section("Sender", m =>
        {
            options.Sender.Login = m.Choice("Login", options.Sender.Login);
            options.Sender.Local = m.Choice("Local", options.Sender.Local);
            options.Sender.Network = m.Choice("Network", options.Sender.Network);
            options.Sender.HeaderFrom = m.Choice("HeaderFrom", options.Sender.HeaderFrom);
            options.Sender.Owned = m.Choice("Owned", options.Sender.Owned);
        });
        s.Section("Delivery", d => ReadDelivery(d, options.Delivery));
        s.Section("Sessions", c =>
        {
            options.Sessions.Max = c.Integer("Max", options.Sessions.Max, 1, 100_000, "sessions");
            options.Sessions.PerAddress = c.Integer("PerAddress", options.Sessions.PerAddress, 1, 100_000, "sessions");
            options.Sessions.PerIdentity = c.Integer("PerIdentity", options.Sessions.PerIdentity, 1, 100_000, "sessions");
            options.Sessions.Idle = c.Time("Idle", options.Sessions.Idle, Second, Hour);
        });
        s.Section("Logins", l =>
        {
            options.Logins.FailuresBeforeRefusal = l.Integer("FailuresBeforeRefusal", options.Logins.FailuresBeforeRefusal, 5, 100_000, "failed logins");
            options.Logins.RefusalTime = l.Time("RefusalTime", options.Logins.RefusalTime, TimeSpan.FromMinutes(1), TimeSpan.FromDays(1));
        });
        s.Section("Limits", l =>
        {
            options.Limits.Enforce = l.Boolean("Enforce", options.Limits.Enforce);
            options.Limits.WarnAt = l.Integer("WarnAt", options.Limits.WarnAt, 0, 100, "percent (0: never)");
            l.Section("Defaults", d =>
            {
                LimitDefaults defaults = options.Limits.Defaults;
                defaults.Mailbox = Limit(d, "Mailbox", defaults.Mailbox);
                defaults.Domain = Limit(d, "Domain", defaults.Domain);
                defaults.Subscription = Limit(d, "Subscription", defaults.Subscription);
                defaults.Plan = Limit(d, "Plan", defaults.Plan);
                defaults.Server = Limit(d, "Server", defaults.Server);
            });
            l.Section("Over", o =>
            {
                LimitActions over = options.Limits.Over;
                over.Mailbox = o.Choice("Mailbox", over.Mailbox);
                over.Domain = o.Choice("Domain", over.Domain);
                over.Subscription = o.Choice("Subscription", over.Subscription);
                over.Plan = o.Choice("Plan", over.Plan);
                over.Server = o.Choice("Server", over.Server);
            });
        });
        s.Section("Notices", n => ReadNotices(n, options.Notices));
        s.Section("Classes", c =>
        {
            foreach (MessageClass messageClass in Enum.GetValues<MessageClass>())
                options.Classes[messageClass] = c.Choice(messageClass.ToString(), options.Classes[messageClass]);
        });
        s.Section("Dsn", r =>
        {
            options.Dsn.MaxReturned = r.Integer("MaxReturned", options.Dsn.MaxReturned, 1024, 1_048_576, "octets");
            options.Dsn.PerSender = r.Integer("PerSender", options.Dsn.PerSender, 0, 1_000_000, "reports an hour (0: no bound)");
            options.Dsn.Backscatter = r.Integer("Backscatter", options.Dsn.Backscatter, 0, 1_000_000, "reports an hour (0: no bound)");
        });
        s.Section("Reports", r => options.Reports.Period = r.Choice("Period", options.Reports.Period));
        s.Section("Scripts", c =>
        {
            options.Scripts.BurstMessages = c.Integer("BurstMessages", options.Scripts.BurstMessages, 1, 1_000_000, "messages");
            options.Scripts.BurstWindow = c.Time("BurstWindow", options.Scripts.BurstWindow, TimeSpan.FromMinutes(1), TimeSpan.FromHours(1));
            options.Scripts.BurstFactor = c.Integer("BurstFactor", options.Scripts.BurstFactor, 1, 1000, "times");
        });
        s.Section("Retention", r =>
        {
            options.Retention.History = r.Time("History", options.Retention.History, TimeSpan.FromDays(31), 10 * Year);
            options.Retention.Decisions = r.Time("Decisions", options.Retention.Decisions, Hour, 10 * Year);
            options.Retention.FailedContent = r.Time("FailedContent", options.Retention.FailedContent, TimeSpan.Zero, Year);
        });
        s.Section("Storage", p =>
        {
            options.Storage.Provider = p.Text("Provider", options.Storage.Provider, t => t.Equals("Sqlite", StringComparison.OrdinalIgnoreCase), "Sqlite is expected");
            options.Storage.ConnectionString = p.NullableText("ConnectionString", null, _ => false, "Sqlite needs none (its file is in DataDirectory): leave it out");
            options.Storage.MinimumFree = p.Integer("MinimumFree", options.Storage.MinimumFree, 1_048_576, 1L << 50, "octets");
        });
    }

    private static void ReadDelivery(SettingsSection d, DeliveryOptions delivery)
    {
        delivery.NextHop = NormaliseNextHop(
            d.Text("NextHop", delivery.NextHop, t => NormaliseNextHop(t) is not null, NextHopText.Remedy))!;
        delivery.Resolver = d.NullableText("Resolver", null, IsResolver, "\"ip:port\" of a DNS server, or of up to three with commas, is expected");
        if (d.Find("ResolverTrusted") is { Kind: not SettingsKind.Null })
            delivery.ResolverTrusted = d.Boolean("ResolverTrusted", false);
        d.Section("Tls", t => ReadTls(t, delivery.Tls));
        delivery.ReplyRules = d.NullablePath("ReplyRules", null, "the path of a file of rules on replies is expected");
        delivery.EightBit = d.Choice("EightBit", delivery.EightBit);
        delivery.AllowLoopback = d.Boolean("AllowLoopback", delivery.AllowLoopback);
        delivery.MxPort = d.Integer("MxPort", delivery.MxPort, 1, 65_535, "a TCP port");
        d.Section("Retry", r =>
        {
            delivery.Retry.First = r.Time("First", delivery.Retry.First, Second, TimeSpan.FromDays(1));
            delivery.Retry.Longest = r.Time("Longest", delivery.Retry.Longest, Second, TimeSpan.FromDays(7));
            delivery.Retry.GiveUpAfter = r.Time("GiveUpAfter", delivery.Retry.GiveUpAfter, Second, TimeSpan.FromDays(30));
            delivery.Retry.DelayNoticeAfter = r.Time("DelayNoticeAfter", delivery.Retry.DelayNoticeAfter, TimeSpan.Zero, TimeSpan.FromDays(30));
            if (delivery.Retry.First > delivery.Retry.Longest)
                r.Fault("First", r.Find("First") ?? r.Find("Longest")!, $"First must not be longer than Longest ({delivery.Retry.Longest:c})");
            r.Map("Classes", (name, c) =>
            {
                if (!RetryOptions.ClassNames.Contains(name, StringComparer.OrdinalIgnoreCase))
                    r.Fault($"Classes:{name}", c.Node, $"no class of replies; one of {string.Join(", ", RetryOptions.ClassNames)} is expected");
                delivery.Retry.Classes[name] = ReadRetry(c, delivery.Retry);
            });
        });
        d.Section("Timeouts", t =>
        {
            delivery.Timeouts.Connect = t.Time("Connect", delivery.Timeouts.Connect, Second, Hour);
            delivery.Timeouts.Reply = t.Time("Reply", delivery.Timeouts.Reply, Second, Hour);
            delivery.Timeouts.Data = t.Time("Data", delivery.Timeouts.Data, Second, Hour);
        });
        d.Section("Connections", c =>
        {
            delivery.Connections.Total = c.Integer("Total", delivery.Connections.Total, 1, 20_000, "connections");
            delivery.Connections.PerAddress = c.Integer("PerAddress", delivery.Connections.PerAddress, 1, 20_000, "connections");
            delivery.Connections.PerNextHop = c.Integer("PerNextHop", delivery.Connections.PerNextHop, 1, 20_000, "connections");
            delivery.Connections.PerMx = c.Integer("PerMx", delivery.Connections.PerMx, 1, 20_000, "connections");
            delivery.Connections.PerSmarthost = c.Integer("PerSmarthost", delivery.Connections.PerSmarthost, 1, 20_000, "connections");
            delivery.Connections.MessagesPerConnection = c.Integer("MessagesPerConnection", delivery.Connections.MessagesPerConnection, 1, 100_000, "messages");
            delivery.Connections.RecipientsPerTransaction = c.Integer("RecipientsPerTransaction", delivery.Connections.RecipientsPerTransaction, 1, 1000, "recipients");
            delivery.Connections.Idle = c.Time("Idle", delivery.Connections.Idle, Second, TimeSpan.FromMinutes(5));
        });
        delivery.MemoryOctets = d.Integer("MemoryOctets", delivery.MemoryOctets, 4_194_304, 1L << 34, "octets");
        d.Map("Providers", (name, p) =>
        {
            var provider = new ProviderOptions();
            ReadProvider(p, provider, delivery.Retry);
            delivery.Providers[name] = provider;
        });
    }

    private static bool IsResolver(string text)
    {
        string[] servers = text.Split(',', StringSplitOptions.TrimEntries);
        return servers.Length <= 3 && Array.TrueForAll(servers, t => ListenerEndpoint.TryParseTcp(t, out IPEndPoint? server) && server.Port != 0);
    }

    private static void ReadTls(SettingsSection t, TlsOptions tls)
    {
        tls.Policy = ReadTlsMode(t, "Policy", tls.Policy);
        tls.MinimumVersion = t.Choice("MinimumVersion", tls.MinimumVersion);
        tls.Dane = t.Boolean("Dane", tls.Dane);
        tls.MtaSts = t.Boolean("MtaSts", tls.MtaSts);
        tls.Reports = t.Boolean("Reports", tls.Reports);
        tls.AuthoritiesPath = t.NullablePath("AuthoritiesPath", null, "the path of a PEM file is expected");
        tls.MtaStsPort = t.Integer("MtaStsPort", tls.MtaStsPort, 1, 65_535, "a TCP port");
    }

    private static TlsMode ReadTlsMode(SettingsSection s, string name, TlsMode whenAbsent)
    {
        string text = s.Text(name, whenAbsent.Word(), t => TlsModes.TryParse(t, out _), "None, May, Encrypt, Verify or Dane is expected");
        return TlsModes.TryParse(text, out TlsMode mode) ? mode : whenAbsent;
    }

    private static void ReadProvider(SettingsSection p, ProviderOptions provider, RetryOptions all)
    {
        if (p.Find("Connections") is not null)
            provider.Connections = p.Integer("Connections", 1, 1, 20_000, "connections");
        if (p.Find("IPv6") is not null)
            provider.IPv6 = p.Boolean("IPv6", true);
        if (p.Find("MessagesPerConnection") is not null)
            provider.MessagesPerConnection = p.Integer("MessagesPerConnection", 1, 1, 100_000, "messages");
        if (p.Find("Tls") is not null)
            provider.Tls = ReadTlsMode(p, "Tls", TlsMode.May);
        if (p.Find("Retry") is not null)
            p.Section("Retry", r => provider.Retry = ReadRetry(r, all));
    }

    /// <param name="all">What holds where nothing is written.</param>
    private static RetryOverride ReadRetry(SettingsSection r, RetryOptions all)
    {
        var own = new RetryOverride();
        if (r.Find("First") is not null)
            own.First = r.Time("First", all.First, Second, TimeSpan.FromDays(1));
        if (r.Find("Longest") is not null)
            own.Longest = r.Time("Longest", all.Longest, Second, TimeSpan.FromDays(7));
        if (r.Find("GiveUpAfter") is not null)
            own.GiveUpAfter = r.Time("GiveUpAfter", all.GiveUpAfter, Second, TimeSpan.FromDays(30));
        if (own.First > (own.Longest ?? all.Longest))
            r.Fault("First", r.Find("First")!, $"First must not be longer than Longest ({own.Longest ?? all.Longest:c})");
        return own;
    }

    private static void ReadNotices(SettingsSection n, NoticeOptions notices)
    {
        string kindsRemedy = $"\"all\", \"none\" or words with commas ({NoticeKinds.Words}) is expected";
        notices.Administrator = n.NullableText("Administrator", null, t => t.Length == 0 || MailboxAddress.TryParse(t, out _), "an address such as \"admin@example.net\", or \"\" for nobody, is expected");
        notices.From = n.NullableText("From", null, t => MailboxAddress.TryParse(t, out MailboxAddress? from) && !from.IsUnqualified, "an address such as \"relaygate@example.net\" is expected");
        notices.Period = n.Time("Period", notices.Period, TimeSpan.FromMinutes(1), TimeSpan.FromDays(7));
        notices.AdministratorKinds = n.Text("AdministratorKinds", notices.AdministratorKinds, t => NoticeKinds.ParseList(t) is not null, kindsRemedy);
        notices.OwnerKinds = n.Text("OwnerKinds", notices.OwnerKinds, t => NoticeKinds.ParseList(t) is not null, kindsRemedy);
    }

    private static void ReadListeners(SettingsSection s, RelayGateOptions options)
    {
        var endPoints = new List<(ListenerOptions Listener, EndPoint EndPoint)>();
        s.List("Listeners", l =>
        {
            var listener = new ListenerOptions();
            SettingsNode? written = l.Find("Endpoint");
            if (written is { Kind: SettingsKind.Text or SettingsKind.Untyped })
                listener.Endpoint = AbsoluteSocket(written);
            listener.Name = l.Text("Name", listener.Endpoint, t => t.Length is > 0 and <= 64 && !t.Any(char.IsControl), "a short name is expected");
            listener.Tls = l.Choice("Tls", ListenerTls.None);
            listener.LoopbackTls = l.Choice("LoopbackTls", ListenerTls.None);
            if (!ListenerEndpoint.TryParse(listener.Endpoint, out EndPoint? endPoint))
            {
                l.Fault("Endpoint", written ?? l.Node, EndpointRemedy);
                return;
            }
            if (listener.LoopbackTls == ListenerTls.Implicit)
                l.Fault("LoopbackTls", l.Find("LoopbackTls")!, "one of None, StartTls is expected");
            if (listener.Tls != ListenerTls.None && endPoint is UnixDomainSocketEndPoint)
                l.Fault("Tls", l.Find("Tls")!, "a unix socket has no TLS: leave Tls out");
            foreach ((ListenerOptions other, EndPoint taken) in endPoints)
            {
                if (ListenerEndpoint.Overlap(taken, endPoint))
                    l.Fault("Endpoint", written!, $"overlaps with listener {other.Name} ({other.Endpoint}): remove one, or give another address or port");
                if (other.Name == listener.Name)
                    l.Fault("Name", l.Find("Name") ?? written!, "another listener has this name: names are given once");
            }
            endPoints.Add((listener, endPoint));
            options.Listeners.Add(listener);
        });
        if (s.Find("Listeners") is not { } list)
            s.Faults.Add(new ConfigurationFault(s.Node.Source, "RelayGate:Listeners", null, "missing; for instance [ { \"Name\": \"local\", \"Endpoint\": \"127.0.0.1:587\", \"Tls\": \"None\" } ]"));
        else if (list is { Kind: SettingsKind.Array, Items.Count: 0 })
            s.Fault("Listeners", list, "at least one listener is needed");
    }

    /// <summary>What can only be judged once everything has been read.</summary>
    public static void CheckTogether(RelayGateOptions options, string source, List<ConfigurationFault> faults)
    {
        ListenerOptions? tls = options.Listeners.FirstOrDefault(l => l.Tls != ListenerTls.None);
        if (tls is not null && options.Certificate.Path is null)
            faults.Add(new ConfigurationFault(source, "RelayGate:Certificate:Path", null, $"missing; listener {tls.Name} has Tls {tls.Tls} and needs a certificate"));
        foreach ((string key, string? path) in new[] { ("Path", options.Certificate.Path), ("KeyPath", options.Certificate.KeyPath) })
        {
            if (tls is not null && path is not null && !File.Exists(path))
                faults.Add(new ConfigurationFault(source, $"RelayGate:Certificate:{key}", path, "no such file, or not readable by this user"));
        }
        if (options.Admin.Endpoint is { } admin && ListenerEndpoint.TryParseTcp(admin, out IPEndPoint? adminEndPoint))
            CheckAdmin("Endpoint", admin, adminEndPoint);
        if (ListenerEndpoint.IsSocketPath(options.Admin.Socket))
            CheckAdmin("Socket", options.Admin.Socket, new UnixDomainSocketEndPoint(options.Admin.Socket));

        void CheckAdmin(string key, string value, EndPoint endPoint)
        {
            foreach (ListenerOptions listener in options.Listeners)
            {
                if (ListenerEndpoint.TryParse(listener.Endpoint, out EndPoint? taken) && ListenerEndpoint.Overlap(taken, endPoint))
                    faults.Add(new ConfigurationFault(source, $"RelayGate:Admin:{key}", value, $"overlaps with listener {listener.Name} ({listener.Endpoint}): give another one"));
            }
        }
    }

    /// <returns>A next hop in its usual spelling, always with ports; null when it is none (<see cref="NextHopText"/>).</returns>
    public static string? NormaliseNextHop(string text) => NextHopText.TryParse(text, out var smarthosts) ? NextHopText.Format(smarthosts.Value) : null;

    private static string Limit(SettingsSection section, string name, string whenAbsent) =>
        section.Text(name, whenAbsent, t => LimitSet.TryParse(t, out _),
            "\"100/h\", \"1000/d\", \"100/h:rcpt\", several with commas, \"unlimited\" or \"forbidden\" is expected");

    private static bool IsAddress(string text, AddressFamily family) =>
        ListenerEndpoint.TryParseAddress(text, out IPAddress? address) && address.AddressFamily == family && !address.Equals(IPAddress.Any) && !address.Equals(IPAddress.IPv6Any);

    private static string AbsoluteSocket(SettingsNode endpoint)
    {
        string text = endpoint.Text;
        return text.StartsWith(ListenerEndpoint.UnixPrefix, StringComparison.OrdinalIgnoreCase) && text.Length > ListenerEndpoint.UnixPrefix.Length
            ? ListenerEndpoint.UnixPrefix + SettingsSection.Absolute(endpoint, text[ListenerEndpoint.UnixPrefix.Length..])
            : text;
    }

    private static string OwnHostname() => Domain.TryParse(Environment.MachineName, out Domain? name) ? name.Value : "localhost";
}
