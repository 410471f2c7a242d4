using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;

namespace RelayGate.Accounts;

/// <summary>The values in force of all that can be set in the file and live: a stored value wins over the file's.</summary>
internal sealed record EffectiveSettings
{
    public required string Hostname { get; init; }

    public required EgressMode Mode { get; init; }

    /// <summary>The server's own address, or null: the system's choice.</summary>
    public IPAddress? IPv4 { get; init; }

    public IPAddress? IPv6 { get; init; }

    public required MissingFamilyMode MissingFamily { get; init; }

    public required MissingFamilyMode NoAddress { get; init; }

    /// <summary>Whether the system chooses the address of a family that the server has none of.</summary>
    public bool SystemMayChoose => MissingFamily == MissingFamilyMode.Server || (IPv4 is null && IPv6 is null);

    /// <summary>What mail leaves from that has nobody else's address: the server's own, and what stands for the system's choice.</summary>
    public IEnumerable<IPAddress> ServerAddresses => ((IPAddress?[])
        [IPv4 ?? (SystemMayChoose ? SystemChoice.Of(AddressFamily.InterNetwork) : null), IPv6 ?? (SystemMayChoose ? SystemChoice.Of(AddressFamily.InterNetworkV6) : null)])
        .OfType<IPAddress>();

    public required EgressGreeting Greeting { get; init; }

    /// <summary>Whether mail leaves by IPv6 where its subscription does not say otherwise.</summary>
    public required bool IPv6Enabled { get; init; }

    /// <summary>Whom to ask which address is seen; null: nobody.</summary>
    public string? Probe { get; init; }

    public required SenderMode Login { get; init; }

    public required SenderMode Local { get; init; }

    public required SenderMode Network { get; init; }

    public required HeaderFromMode HeaderFrom { get; init; }

    public required OwnedAddresses Owned { get; init; }

    public required bool EnforceLimits { get; init; }

    /// <summary>Limits:WarnAt, in percent; 0: never.</summary>
    public required int WarnAt { get; init; }

    /// <summary>Classes:… Exempt.</summary>
    public required ImmutableArray<MessageClass> ExemptClasses { get; init; }

    public required ReportPeriod ReportPeriod { get; init; }

    /// <summary>Limits:Defaults, by level.</summary>
    public required ImmutableArray<LimitSet> Defaults { get; init; }

    /// <summary>Limits:Over, by level.</summary>
    public required ImmutableArray<OverLimitAction> Over { get; init; }

    public required long MaxMessageOctets { get; init; }

    public required int MaxRecipients { get; init; }

    /// <summary>The sender mode for an identity, and the setting that says so.</summary>
    public (SenderMode Mode, string Setting) ModeFor(IdentityKind kind) => kind switch
    {
        IdentityKind.Login => (Login, "Sender:Login"),
        IdentityKind.Uid => (Local, "Sender:Local"),
        _ => (Network, "Sender:Network"),
    };

    /// <param name="stored">Values set live, by the names of <see cref="Setting.Names"/>.</param>
    public static EffectiveSettings Of(RelayGateOptions options, IReadOnlyDictionary<string, string> stored) => new()
    {
        Hostname = options.Hostname,
        Mode = Choice("Egress:Mode", options.Egress.Mode, stored),
        IPv4 = Address("Egress:IPv4", options.Egress.IPv4, stored),
        IPv6 = Address("Egress:IPv6", options.Egress.IPv6, stored),
        MissingFamily = Choice("Egress:MissingFamily", options.Egress.MissingFamily, stored),
        NoAddress = Choice("Egress:NoAddress", options.Egress.NoAddress, stored),
        Greeting = Choice("Egress:Greeting", options.Egress.Greeting, stored),
        IPv6Enabled = stored.TryGetValue("Egress:IPv6Enabled", out string? ipv6) ? ipv6 == "true" : options.Egress.IPv6Enabled,
        Probe = stored.GetValueOrDefault("Egress:Probe", options.Egress.Probe ?? "") is { Length: > 0 } probe ? probe : null,
        Login = Choice("Sender:Login", options.Sender.Login, stored),
        Local = Choice("Sender:Local", options.Sender.Local, stored),
        Network = Choice("Sender:Network", options.Sender.Network, stored),
        HeaderFrom = Choice("Sender:HeaderFrom", options.Sender.HeaderFrom, stored),
        Owned = Choice("Sender:Owned", options.Sender.Owned, stored),
        EnforceLimits = stored.TryGetValue("Limits:Enforce", out string? enforce) ? enforce == "true" : options.Limits.Enforce,
        WarnAt = stored.TryGetValue("Limits:WarnAt", out string? warnAt) && Setting.PercentOf(warnAt) is { } percent ? percent : options.Limits.WarnAt,
        ExemptClasses = [.. Enum.GetValues<MessageClass>().Where(c => Choice(Setting.NameOf(c), options.Classes[c], stored) == ClassTreatment.Exempt)],
        ReportPeriod = Choice("Reports:Period", options.Reports.Period, stored),
        Defaults =
        [
            Limits(options.Limits.Defaults.Server), Limits(options.Limits.Defaults.Plan), Limits(options.Limits.Defaults.Subscription),
            Limits(options.Limits.Defaults.Domain), Limits(options.Limits.Defaults.Mailbox),
        ],
        Over =
        [
            options.Limits.Over.Server, options.Limits.Over.Plan, options.Limits.Over.Subscription, options.Limits.Over.Domain, options.Limits.Over.Mailbox,
        ],
        MaxMessageOctets = options.MaxMessageOctets,
        MaxRecipients = options.MaxRecipients,
    };

    private static T Choice<T>(string name, T configured, IReadOnlyDictionary<string, string> stored)
        where T : struct, Enum =>
        stored.TryGetValue(name, out string? text) && Enum.TryParse(text, ignoreCase: true, out T value) ? value : configured;

    /// <summary>Null, too, for a stored "none", whatever the file names.</summary>
    private static IPAddress? Address(string name, string? configured, IReadOnlyDictionary<string, string> stored) =>
        IPAddress.TryParse(stored.GetValueOrDefault(name, configured ?? ""), out IPAddress? address) ? address : null;

    /// <summary>The loader has checked the file's values; anything else here is a bug, and the safe reading of it is no mail.</summary>
    private static LimitSet Limits(string text) => LimitSet.TryParse(text, out LimitSet? limits) ? limits : LimitSet.Forbidden;
}

/// <summary>A value that can be set live.</summary>
/// <param name="Origin"><c>stored</c>, <c>configuration</c> (file or environment), or <c>default</c>: neither says otherwise.</param>
public sealed record Setting(string Name, string Value, string Origin)
{
    private const string ClassPrefix = "Classes:";

    /// <summary>The closed set of names, as in the file.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "Egress:Mode", "Egress:IPv4", "Egress:IPv6", "Egress:MissingFamily", "Egress:NoAddress", "Egress:Greeting", "Egress:IPv6Enabled", "Egress:Probe",
        "Sender:Login", "Sender:Local", "Sender:Network", "Sender:HeaderFrom", "Sender:Owned", "Limits:Enforce", "Limits:WarnAt",
        "Reports:Period",
        .. Enum.GetValues<MessageClass>().Select(NameOf),
    ];

    /// <summary>0 to 100; null for anything else.</summary>
    internal static int? PercentOf(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int percent) && percent <= 100 ? percent : null;

    internal static string NameOf(MessageClass messageClass) => $"{ClassPrefix}{messageClass}";

    /// <summary>What a setting may be, in words; null when <paramref name="value"/> is that.</summary>
    internal static string? Fault(string name, string value) => name switch
    {
        "Egress:Mode" => OneOf<EgressMode>(value),
        "Egress:IPv4" or "Egress:IPv6" when value.Equals(AccountNames.None, StringComparison.OrdinalIgnoreCase) => null,
        "Egress:IPv4" => IPAddress.TryParse(value, out IPAddress? v4) && v4.AddressFamily == AddressFamily.InterNetwork ? null : "an IPv4 address, or none",
        "Egress:IPv6" => IPAddress.TryParse(value, out IPAddress? v6) && v6.AddressFamily == AddressFamily.InterNetworkV6 ? null : "an IPv6 address, or none",
        "Egress:MissingFamily" or "Egress:NoAddress" => OneOf<MissingFamilyMode>(value),
        "Sender:HeaderFrom" => OneOf<HeaderFromMode>(value),
        "Sender:Owned" => OneOf<OwnedAddresses>(value),
        "Limits:WarnAt" => PercentOf(value) is null ? "a percentage from 0 (never) to 100" : null,
        "Reports:Period" => OneOf<ReportPeriod>(value),
        "Egress:Greeting" => OneOf<EgressGreeting>(value),
        "Egress:Probe" => ProbeTarget.TryParse(value, out _) ? null : ProbeTarget.Remedy,
        "Limits:Enforce" or "Egress:IPv6Enabled" => value is "true" or "false" ? null : "true or false",
        _ when ClassOf(name) is not null => OneOf<ClassTreatment>(value),
        _ => OneOf<SenderMode>(value),
    };

    internal static string Configured(string name, RelayGateOptions options) => name switch
    {
        "Egress:Mode" => options.Egress.Mode.ToString(),
        "Egress:IPv4" => options.Egress.IPv4 ?? "",
        "Egress:IPv6" => options.Egress.IPv6 ?? "",
        "Egress:MissingFamily" => options.Egress.MissingFamily.ToString(),
        "Egress:NoAddress" => options.Egress.NoAddress.ToString(),
        "Egress:Greeting" => options.Egress.Greeting.ToString(),
        "Egress:IPv6Enabled" => options.Egress.IPv6Enabled ? "true" : "false",
        "Egress:Probe" => options.Egress.Probe ?? "",
        "Sender:Login" => options.Sender.Login.ToString(),
        "Sender:Local" => options.Sender.Local.ToString(),
        "Sender:Network" => options.Sender.Network.ToString(),
        "Limits:WarnAt" => options.Limits.WarnAt.ToString(CultureInfo.InvariantCulture),
        "Reports:Period" => options.Reports.Period.ToString(),
        _ when ClassOf(name) is { } messageClass => options.Classes[messageClass].ToString(),
        "Sender:HeaderFrom" => options.Sender.HeaderFrom.ToString(),
        "Sender:Owned" => options.Sender.Owned.ToString(),
        _ => options.Limits.Enforce ? "true" : "false",
    };

    private static MessageClass? ClassOf(string name) =>
        name.StartsWith(ClassPrefix, StringComparison.Ordinal) && Enum.TryParse(name.AsSpan(ClassPrefix.Length), out MessageClass messageClass) ? messageClass : null;

    private static string? OneOf<T>(string value)
        where T : struct, Enum =>
        Enum.GetNames<T>().Contains(value, StringComparer.OrdinalIgnoreCase) ? null : string.Join(" or ", Enum.GetNames<T>());
}
