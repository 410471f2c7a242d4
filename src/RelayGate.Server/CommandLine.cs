using System.CommandLine;
using System.CommandLine.Help;
using RelayGate.Server.Cli;
using RelayGate.Server.Commands;

namespace RelayGate.Server;

/// <summary>The tree of verbs, and what becomes of a wrong one.</summary>
internal static class CommandLine
{
    public static async Task<int> RunAsync(string[] args)
    {
        Command root = CreateRoot();
        ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null }); // @shop.test is a domain, not a file of arguments.
        if (SyntaxError.Of(parsed) is { } wrong)
        {
            await Console.Error.WriteLineAsync($"relaygate: {Output.Clean(wrong)}");
            return ExitCode.Usage;
        }
        try
        {
            // Signals: serve and demo stop by themselves, and every other verb may simply end.
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (CliException error)
        {
            await Console.Error.WriteLineAsync($"relaygate: {Output.Clean(error.ExitCode == ExitCode.Usage ? SyntaxError.Named(parsed, error.Message) : error.Message)}");
            return error.ExitCode;
        }
        catch (Exception error) when (GatewayRun.FindStartFault(error) is { } fault) // Found while the host was built: a lock, a store.
        {
            await Console.Error.WriteLineAsync($"relaygate: {fault}");
            return ExitCode.Failed;
        }
    }

    internal static Command CreateRoot() =>
        new("relaygate", "RelayGate, the outbound mail gateway.") // Not a RootCommand: that one is named after the assembly.
        {
            new HelpOption("--help", ["-h", "-?"]), // Without /h, which a slip makes of a limit (5 /h).
            VersionCommand.CreateOption(),
            GlobalOptions.Json,
            GlobalOptions.Socket,
            ServeCommand.Create(),
            DemoCommand.Create(),
            SendCommand.Create(),
            StatusCommand.Create(),
            DoctorCommand.Create(),
            VersionCommand.Create(),
            PlanCommands.Create(),
            SubscriptionCommands.Create(),
            DomainCommands.Create(),
            MailboxCommands.Create(),
            SenderCommands.Create(),
            UidCommands.Create(),
            IpCommands.Create(),
            RouteCommands.Create(),
            PaceCommands.Create(),
            DkimCommands.Create(),
            NetworkCommands.Create(),
            LimitCommands.Create(),
            SettingCommands.Create(),
            NoticeCommands.Create(),
            WebhookCommands.Create(),
            AuditCommands.Create(),
            ReportCommands.Create(),
            TlsCommands.Create(),
            MessageCommands.Create(),
            QueueCommands.Create(),
            ScriptCommands.Create(),
            RulesCommands.Create(),
            ExplainCommand.Create(),
        };
}
