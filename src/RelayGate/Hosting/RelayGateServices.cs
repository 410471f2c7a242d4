using System.Security.Cryptography;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RelayGate.Accounts;
using RelayGate.Admin;
using RelayGate.Configuration;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Dns;
using RelayGate.Egress;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Replay;
using RelayGate.Replies;
using RelayGate.Reports;
using RelayGate.Storage;
using RelayGate.Sts;
using RelayGate.Submission;
using RelayGate.Telemetry;
using RelayGate.Tls;
using RelayGate.TlsReports;

namespace RelayGate.Hosting;

/// <summary>Puts the gateway into a host.</summary>
public static class RelayGateServices
{
    /// <summary>Time for a whole stop: sessions have 10 s, then deliveries in flight end, then the writer writes what waits.</summary>
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(40);

    /// <summary>Adds every part of the gateway and gives Kestrel its listeners. The host's server must be Kestrel.</summary>
    /// <param name="options">Checked, as <see cref="ConfigurationLoader.Load"/> gives them.</param>
    public static IServiceCollection AddRelayGate(this IServiceCollection services, RelayGateOptions options)
    {
        services.AddSingleton(options);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(new MailLogOutput(null));
        services.Configure<HostOptions>(o => o.ShutdownTimeout = StopTimeout);
        AddTelemetry(services);
        AddParts(services, options);
        AddListeners(services);
        services.AddHostedService<GatewayService>();
        return services;
    }

    private static void AddTelemetry(IServiceCollection services)
    {
        services.AddSingleton<RelayGateMetrics>();
        services.AddSingleton<MetricsExposition>();
        services.AddSingleton<MailLog>();
        services.AddSingleton<GatewayState>();
    }

    /// <summary>Made in this order, and disposed of in reverse: the lock of the data directory goes last.</summary>
    private static void AddParts(IServiceCollection services, RelayGateOptions options)
    {
        services.AddSingleton(_ => DataDirectory.Open(options.DataDirectory));
        services.AddSingleton(provider => OpenStore(provider.GetRequiredService<DataDirectory>()));
        services.AddSingleton(provider => Reading(provider, store => new UsageTable(store, provider.GetRequiredService<TimeProvider>())));
        services.AddSingleton(provider => Reading(provider, store => new QueueWriter(
            store, provider.GetRequiredService<UsageTable>(),
            subscription => provider.GetRequiredService<AccountDirectory>().VersionOf(subscription), // The directory itself needs the writer.
            options, provider.GetRequiredService<RelayGateMetrics>(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<QueueWriter>>())));
        services.AddSingleton(provider => Reading(provider, store => new AccountDirectory(
            store, provider.GetRequiredService<UsageTable>(), options, provider.GetRequiredService<TimeProvider>())));
        services.AddSingleton<AccountAdministration>();
        services.AddSingleton<AccountUpkeep>();
        services.AddSingleton(provider => MakeScheduler(options, provider));
        services.AddSingleton<SenderLookup>(provider =>
        {
            AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
            return async (identity, reversePath, from, cancellationToken) => (await directory.LookUpAsync(identity, reversePath, from, cancellationToken)).Account;
        });
        services.AddSingleton(provider => new HoldForecast(
            provider.GetRequiredService<SqliteRelayStore>(), provider.GetRequiredService<UsageTable>(), provider.GetRequiredService<SenderLookup>(), options.Delivery.Retry.GiveUpAfter));
        services.AddSingleton<HeldMail>();
        services.AddSingleton(provider => new HeldExpiry(
            provider.GetRequiredService<HeldMail>(), provider.GetRequiredService<DeliveryService>(), options.Delivery.Retry.GiveUpAfter,
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<HeldExpiry>>()));
        services.AddSingleton(MakeReleaser);
        services.AddSingleton(MakeSuspendedMail);
        services.AddSingleton(provider => new DnsServers(options.Delivery.Resolver, provider.GetRequiredService<TimeProvider>(), options.Delivery.ResolverTrusted));
        services.AddSingleton<DnsResolver>();
        services.AddSingleton(provider => LoadReplyRules(options, provider));
        services.AddSingleton(provider =>
        {
            AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
            return new NextHopResolver(options, provider.GetRequiredService<DnsResolver>(), provider.GetRequiredService<ReplyRuleBook>(), () => directory.Routes);
        });
        services.AddSingleton(_ => LoadAuthorities(options));
        services.AddSingleton(provider =>
        {
            AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
            return new OutwardDialer(
                provider.GetRequiredService<DnsResolver>(), directory.ServerAddressAsync, (local, token) => directory.MayLeaveFromAsync(AccountWrite.SystemSubscription, local, token));
        });
        services.AddSingleton(provider => new StsFetcher(
            options.Delivery, provider.GetRequiredService<OutwardDialer>(), provider.GetRequiredService<TrustedAuthorities>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<StsPolicies>();
        services.AddSingleton(provider => new TlsPlanner(
            options.Delivery, provider.GetRequiredService<DnsResolver>(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<StsPolicies>().FindAsync)
        {
            Observer = provider.GetService<TlsObserver>(),
        });
        services.AddSingleton<ChunkReader>(provider => provider.GetRequiredService<SqliteRelayStore>().ReadChunkAsync);
        services.AddSingleton<EgressPermission>(provider => provider.GetRequiredService<AccountDirectory>().MayLeaveFromAsync);
        services.AddSingleton<IPv6Switch>(provider => provider.GetRequiredService<AccountDirectory>().IPv6OffByAsync);
        services.AddSingleton<LocalAddresses>();
        services.AddSingleton<EgressUses>();
        services.AddSingleton(MakeEgressWatch);
        services.AddSingleton<WaitingMail>();
        services.AddSingleton(provider => Reading(provider, store => new SuspendedDestinations(
            store, provider.GetRequiredService<QueueWriter>(), provider.GetRequiredService<WaitingMail>(), provider.GetRequiredService<TimeProvider>())));
        services.AddSingleton<EgressStates>();
        services.AddSingleton<EgressControl>();
        services.AddSingleton<EgressStateViews>();
        services.AddSingleton(provider => CheckProviders(options, provider));
        services.AddSingleton<DsnOriginLookup>(provider => provider.GetRequiredService<AccountDirectory>().DsnOriginAsync);
        services.AddSingleton<DeliveryService>();
        services.AddSingleton(provider => provider.GetRequiredService<QueueWriter>().Feed);
        services.AddSingleton<MessageLog>();
        services.AddSingleton<RefusalLog>();
        services.AddSingleton<ScriptLog>();
        services.AddSingleton<LimitReplay>();
        services.AddSingleton<ReportMaker>();
        services.AddSingleton<TenantTurns>();
        services.AddSingleton(provider =>
        {
            DeliveryService delivery = provider.GetRequiredService<DeliveryService>();
            return new MessageEnder(delivery.PlanEndAsync, delivery.Tell);
        });
        services.AddSingleton<EgressLookup>(provider => provider.GetRequiredService<AccountDirectory>().RebindAsync);
        services.AddSingleton<QueueAdministration>();
        services.AddSingleton<QueueGauge>();
        services.AddSingleton<Maintenance>();
        services.AddSingleton<NoticeBoard>();
        services.AddSingleton<NoticeClock>();
        services.AddSingleton<WebhookSender>();
        services.AddSingleton<WebhookAdministration>();
        services.AddSingleton(MakeNotices);
        services.AddSingleton<ReportBook>();
        services.AddSingleton<ReportSender>();
        services.AddSingleton<TlsReporter>();
        services.AddSingleton<TlsObserver>(provider => provider.GetRequiredService<TlsReporter>().Observe);
        services.AddSingleton<NoticeLog>();
        services.AddSingleton(provider => LoadCertificate(options, provider));
        services.AddSingleton<SubmissionService>();
    }

    private static EgressWatch MakeEgressWatch(IServiceProvider provider)
    {
        AccountAdministration accounts = provider.GetRequiredService<AccountAdministration>();
        EgressWatch watch = ActivatorUtilities.CreateInstance<EgressWatch>(provider, (Func<CancellationToken, Task<IReadOnlyList<AddressInUse>>>)(async token =>
            [.. (await accounts.InUseAsync(token)).Select(static a => new AddressInUse(a.Address, a.Whose))]));
        provider.GetRequiredService<AccountDirectory>().Changed += _ => watch.LookAgain();
        return watch;
    }

    private static QueueScheduler MakeScheduler(RelayGateOptions options, IServiceProvider provider)
    {
        AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
        var scheduler = new QueueScheduler(
            provider.GetRequiredService<SqliteRelayStore>(), provider.GetRequiredService<QueueWriter>(), DestinationLanes.Of(options.Delivery, () => directory.Routes, provider.GetRequiredService<TimeProvider>()),
            () => directory.Suspended, options.Delivery.Retry.First, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<QueueScheduler>>(),
            options.Delivery.MemoryOctets);
        return scheduler;
    }

    private static HoldReleaser MakeReleaser(IServiceProvider provider)
    {
        AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
        var releaser = new HoldReleaser(
            provider.GetRequiredService<SqliteRelayStore>(), provider.GetRequiredService<QueueWriter>(), provider.GetRequiredService<QueueScheduler>(),
            provider.GetRequiredService<UsageTable>(),
            provider.GetRequiredService<SenderLookup>(), provider.GetRequiredService<MailLog>(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<HoldReleaser>>());
        directory.Changed += subscriptions =>
        {
            if (subscriptions is null)
                releaser.WakeAll();
            else
                releaser.Wake(subscriptions);
        };
        return releaser;
    }

    private static SuspendedMail MakeSuspendedMail(IServiceProvider provider)
    {
        AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
        var suspended = new SuspendedMail(
            provider.GetRequiredService<SqliteRelayStore>(), provider.GetRequiredService<QueueWriter>(), provider.GetRequiredService<QueueScheduler>(),
            provider.GetRequiredService<HoldReleaser>(), () => directory.Suspended, provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<SuspendedMail>>());
        directory.SuspensionChanged += suspended.Apply;
        return suspended;
    }

    /// <summary>What other parts report becomes notices.</summary>
    private static NoticeService MakeNotices(IServiceProvider provider)
    {
        var hooks = new NoticeHooks(provider.GetRequiredService<NoticeBoard>());
        provider.GetRequiredService<AccountDirectory>().SuspensionTold += hooks.Suspended;
        provider.GetRequiredService<QueueWriter>().LimitCrossed += hooks.Crossed;
        provider.GetRequiredService<QueueWriter>().ScriptBurst += hooks.Burst;
        provider.GetRequiredService<SubmissionService>().GuessingDetected += hooks.Guessed;
        provider.GetRequiredService<EgressWatch>().Changed += hooks.AddressChanged;
        AccountDirectory directory = provider.GetRequiredService<AccountDirectory>();
        provider.GetRequiredService<EgressControl>().News += news => _ = TellAsync(news);
        async Task TellAsync(EgressNews news)
        {
            try
            {
                hooks.AddressRefused(news, await directory.OwnerOfAsync(news.State.Key.Address, CancellationToken.None));
            }
            catch (ObjectDisposedException)
            {
                // The gateway stops.
            }
        }
        provider.GetRequiredService<DeliveryService>().LoginRefused += refusal => hooks.LoginRefused(refusal.Smarthost.Host, refusal.Smarthost.Login?.User, refusal.Text);
        return ActivatorUtilities.CreateInstance<NoticeService>(provider);
    }

    private static void AddListeners(IServiceCollection services)
    {
        services.AddSingleton<ListenSockets>();
        services.AddSingleton<ListenerPlan>();
        services.AddSingleton<KestrelSetup>();
        services.AddSingleton(provider => new AdminAuthority(
            provider.GetRequiredService<AccountDirectory>(), NativeMethods.EffectiveUid(), provider.GetRequiredService<ListenerPlan>().AdminGroup));
        services.AddSingleton<OpenRelayProbe>();
        services.AddSingleton<EgressProbe>();
        services.AddSingleton<AddressProbe>(provider => provider.GetRequiredService<EgressProbe>().RunAsync);
        services.AddSingleton<RouteTester>();
        services.AddSingleton<RouteTest>(provider => provider.GetRequiredService<RouteTester>().RunAsync);
        services.AddSingleton<RelayProbe>(provider => provider.GetRequiredService<OpenRelayProbe>().RunAsync);
        services.AddSingleton<IConfigureOptions<KestrelServerOptions>>(provider => provider.GetRequiredService<KestrelSetup>());
        services.AddSingleton<IConfigureOptions<SocketTransportOptions>>(provider => provider.GetRequiredService<KestrelSetup>());
    }

    private static TrustedAuthorities LoadAuthorities(RelayGateOptions options)
    {
        try
        {
            return new TrustedAuthorities(options.Delivery.Tls.AuthoritiesPath);
        }
        catch (Exception error) when (error is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new GatewayStartException(
                $"the certificates in {options.Delivery.Tls.AuthoritiesPath} cannot be used: {error.Message.ReplaceLineEndings(" ")}; RelayGate:Delivery:Tls:AuthoritiesPath wants a PEM file", error);
        }
    }

    private static ServerCertificate LoadCertificate(RelayGateOptions options, IServiceProvider provider)
    {
        try
        {
            return new ServerCertificate(options.Certificate, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<ServerCertificate>>());
        }
        catch (Exception error) when (error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new GatewayStartException(
                $"the certificate {options.Certificate.Path} with the key {options.Certificate.KeyPath ?? "in the same file"} cannot be used: {error.Message.ReplaceLineEndings(" ")}; RelayGate:Certificate wants PEM files that belong together", error);
        }
    }

    private static ReplyRuleBook LoadReplyRules(RelayGateOptions options, IServiceProvider provider)
    {
        try
        {
            return new ReplyRuleBook(options.Delivery, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<ReplyRuleBook>>());
        }
        catch (FormatException error)
        {
            throw new GatewayStartException($"RelayGate:Delivery:ReplyRules: {error.Message}", error);
        }
    }

    private static ProviderNames CheckProviders(RelayGateOptions options, IServiceProvider provider)
    {
        try
        {
            return new ProviderNames(provider.GetRequiredService<ReplyRuleBook>(), provider.GetRequiredService<AccountDirectory>(), options);
        }
        catch (FormatException error)
        {
            throw new GatewayStartException($"RelayGate:Delivery:Providers:{error.Message}", error);
        }
    }

    /// <summary>Makes a part that reads the store at the start: a damaged page ends it in one line.</summary>
    private static T Reading<T>(IServiceProvider provider, Func<SqliteRelayStore, T> make)
    {
        SqliteRelayStore store = provider.GetRequiredService<SqliteRelayStore>();
        try
        {
            return make(store);
        }
        catch (SqliteException error)
        {
            throw new GatewayStartException(store.Explain(error), error);
        }
    }

    private static SqliteRelayStore OpenStore(DataDirectory directory)
    {
        try
        {
            return SqliteRelayStore.Open(directory.Path);
        }
        catch (StoreUnusableException error)
        {
            throw new GatewayStartException(error.Message, error);
        }
    }
}
