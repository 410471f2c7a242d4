using System.CommandLine;
using RelayGate.Server.Cli;
using RelayGate.Server.Demo;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate demo</c>: the whole gateway with samples, on this machine alone, without root.</summary>
internal static class DemoCommand
{
    private static readonly Option<int> Port = new("--port") { Description = "Port of the SMTP listener on 127.0.0.1 (a free one if it is taken).", HelpName = "N", DefaultValueFactory = _ => 2525 };
    private static readonly Option<string?> Data = new("--data") { Description = "Data folder, kept between runs (default: ./.relaygate-demo, fresh at each start).", HelpName = "DIR" };
    private static readonly Option<bool> Keep = new("--keep") { Description = "Keep what an earlier demo left in ./.relaygate-demo." };

    public static Command Create()
    {
        Command command = new Command("demo", "Try RelayGate: everything on this machine, nothing leaves it.").With(Port, Data, Keep);
        command.SetAction((parsed, cancellationToken) =>
        {
            int port = parsed.GetValue(Port);
            if (port is < 0 or > 65535)
                throw new CliException(ExitCode.Usage, $"--port is {port}: a number from 0 to 65535 is expected");
            string? data = parsed.GetValue(Data);
            string folder = Path.GetFullPath(data ?? ".relaygate-demo");
            return DemoRun.RunAsync(folder, port, keep: data is not null || parsed.GetValue(Keep), cancellationToken);
        });
        return command;
    }
}
