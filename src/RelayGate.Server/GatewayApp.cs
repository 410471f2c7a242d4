using Microsoft.Extensions.Logging.Console;
using RelayGate.Configuration;
using RelayGate.Hosting;
using RelayGate.Telemetry;

namespace RelayGate.Server;

/// <summary>Builds the host of <c>serve</c> and <c>demo</c>.</summary>
internal static class GatewayApp
{
    /// <param name="leastLevel">Log lines below this are not written.</param>
    /// <param name="mailLog">Where mail-log lines go; null: standard error.</param>
    public static WebApplication Build(RelayGateOptions options, LogLevel leastLevel, MailLogOutput? mailLog = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.Services.AddRoutingCore();
        AddLogging(builder.Logging, leastLevel);
        builder.Services.AddSingleton(mailLog ?? new MailLogOutput(Console.OpenStandardError(), IsUnderSystemd));
        builder.Services.AddRelayGate(options);
        WebApplication app = builder.Build();
        app.UseRouting();
        app.MapRelayGate();
        return app;
    }

    /// <summary>systemd connected our standard error to the journal (systemd.exec(5)).</summary>
    private static bool IsUnderSystemd => Environment.GetEnvironmentVariable("JOURNAL_STREAM") is { Length: > 0 };

    private static void AddLogging(ILoggingBuilder logging, LogLevel leastLevel)
    {
        logging.SetMinimumLevel(leastLevel);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.None); // We print our own lines.
        logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.None); // A start that fails is one line of ours, without a stack trace.
        logging.AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.None);
        logging.AddFilter("Microsoft.AspNetCore.Server.Kestrel.Connections", LogLevel.Error);
        logging.AddConsole(console =>
        {
            console.LogToStandardErrorThreshold = LogLevel.Trace; // Standard output holds the "ready" lines alone.
            console.FormatterName = IsUnderSystemd ? ConsoleFormatterNames.Systemd : ConsoleFormatterNames.Simple;
        });
        logging.Services.Configure<SimpleConsoleFormatterOptions>(o =>
        {
            o.SingleLine = true;
            o.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            o.UseUtcTimestamp = true;
        });
    }
}
