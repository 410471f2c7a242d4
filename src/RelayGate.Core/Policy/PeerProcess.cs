using System.Collections.Immutable;

namespace RelayGate.Core.Policy;

/// <summary>The process at the other end of the unix socket, as the kernel tells of it at connect. What could not be proved is null, never a guess.</summary>
/// <param name="Uid">Effective uid when it connected (SO_PEERCRED, unix(7)): the only part that is identity.</param>
/// <param name="Gid">Effective gid when it connected.</param>
/// <param name="Pid">Its process id as seen from here; null when it is in a pid namespace that cannot be seen from here.</param>
public sealed record PeerProcess(int Uid, int? Gid = null, int? Pid = null)
{
    /// <summary>Its own name (TASK_COMM, at most 15 octets): every process may change its own.</summary>
    public string? Command { get; init; }

    /// <summary>Path of the program it runs; needs the permission to look (root, the same user, or CAP_SYS_PTRACE).</summary>
    public string? Executable { get; init; }

    /// <summary>Its working directory when it connected; needs the same permission.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Its control group, for instance <c>/system.slice/php8.2-fpm.service</c>.</summary>
    public string? ControlGroup { get; init; }

    /// <summary>
    /// Its parent, the parent's parent and so on, up to the first that does more than pass mail on (<see cref="PassesOn"/>); each step proved.
    /// </summary>
    public ImmutableArray<ParentProcess> Parents { get; init; } = [];

    /// <summary>Whether a program of this name only hands on what another one wrote: sendmail and its kin, and the shells between.</summary>
    /// <param name="command">As the kernel names a process: cut after 15 octets.</param>
    public static bool PassesOn(string command) => command is
        "sendmail" or "relaygate-sendm" or "mail" or "mailx" or "s-nail" or "bsd-mailx" or "sh" or "bash" or "dash" or "ash" or "ksh" or "zsh" or "busybox" or "timeout" or "setsid" or "xargs";

    /// <summary>Whether a parent is one that takes over the children of processes that have ended (init, systemd --user): it called nothing.</summary>
    internal static bool IsReaper(ParentProcess parent) => parent.Pid == 1 || parent.Command == "systemd";
}

/// <summary>A process above the one that connected: of <c>sendmail</c>, what called it.</summary>
/// <param name="Command">Its own name, as <see cref="PeerProcess.Command"/>.</param>
/// <param name="Executable">As <see cref="PeerProcess.Executable"/>.</param>
public sealed record ParentProcess(int Pid, int Uid, string? Command, string? Executable);
