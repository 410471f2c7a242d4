using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Submission;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Sendmail;

namespace RelayGate.Tests.Submission;

/// <summary>What is known of a process, and that nothing is said of one that is not proved.</summary>
public sealed class ProcessReaderTests : IDisposable
{
    private const int Pid = 4711;
    private const int Uid = 61_003;

    private readonly TempFolder _proc = new();
    private readonly PeerProcess _peer = new(Uid, 61_004, Pid);

    public void Dispose() => _proc.Dispose();

    [Fact]
    public void What_the_kernel_tells_of_a_process_and_of_those_above_it_is_read()
    {
        AddProcess(Pid, "sendmail", Uid, parent: 4710);
        AddProcess(4710, "sh", Uid, parent: 4709);
        AddProcess(4709, "php-fpm8.2", Uid, parent: 4000);
        AddProcess(4000, "php-fpm8.2", 0, parent: 0);
        File.WriteAllText(FileOf(Pid, "cgroup"), "0::/system.slice/php8.2-fpm.service\n");
        File.CreateSymbolicLink(FileOf(Pid, "exe"), "/usr/sbin/relaygate-sendmail");
        File.CreateSymbolicLink(FileOf(Pid, "cwd"), "/var/www/acme\n/ht\u202Edocs");
        File.CreateSymbolicLink(FileOf(4709, "exe"), "/usr/sbin/php-fpm8.2");

        PeerProcess read = Read();

        Assert.Equal(("sendmail", "/usr/sbin/relaygate-sendmail", "/var/www/acme?/ht?docs", "/system.slice/php8.2-fpm.service"),
            (read.Command, read.Executable, read.WorkingDirectory, read.ControlGroup));
        Assert.Equal([new(4710, Uid, "sh", null), new(4709, Uid, "php-fpm8.2", "/usr/sbin/php-fpm8.2")], read.Parents.ToArray());
    }

    [Fact]
    public void A_process_that_has_ended_is_unknown() => Assert.Equal(_peer, Read());

    [Fact]
    public void A_pid_that_was_given_to_another_user_is_unknown()
    {
        AddProcess(Pid, "sshd", Uid + 1, parent: 1);

        Assert.Equal(_peer, Read());
    }

    [Fact]
    public void A_pid_that_was_given_to_a_process_started_later_is_unknown()
    {
        AddProcess(Pid, "sshd", Uid, parent: 1, startTicks: (long)(ProcFiles.SinceBoot().TotalSeconds + 60) * 100);

        Assert.Equal(_peer, Read());
    }

    [Fact]
    public async Task A_pid_that_is_given_away_while_it_is_read_is_unknown()
    {
        AddProcess(Pid, "sendmail", Uid, parent: 1);
        Assert.Equal(0, Run("mkfifo", FileOf(Pid, "cgroup"))); // Reading stops there until somebody writes.
        Task<PeerProcess> reading = Task.Run(Read);
        await using (FileStream group = new(FileOf(Pid, "cgroup"), FileMode.Open, FileAccess.Write))
        {
            File.Delete(FileOf(Pid, "stat"));
            AddProcess(Pid, "other", Uid, parent: 1, startTicks: 43);
        }

        Assert.Equal(_peer, await reading.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void A_parent_that_its_child_names_no_longer_is_left_out_with_all_above_it()
    {
        AddProcess(Pid, "sendmail", Uid, parent: 4710);
        AddProcess(4710, "sh", Uid, parent: 4709);

        Assert.Equal([4710], Read().Parents.Select(p => p.Pid)); // 4709 has ended.
    }

    [Fact]
    public void Only_so_many_parents_are_looked_at()
    {
        AddProcess(Pid, "sendmail", Uid, parent: Pid - 1);
        for (int i = 1; i <= 8; i++)
            AddProcess(Pid - i, "sh", Uid, parent: Pid - i - 1);

        Assert.Equal(ProcessReader.MaxParents, Read().Parents.Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Name:\tx\n")]
    [InlineData("Name:\tx\nPPid:\tseven\nUid:\t61003\t61003\t61003\t61003\n")]
    [InlineData("Name:\tx\nPPid:\t1\nUid:\t61003")]
    public void A_status_that_cannot_be_read_says_nothing(string status)
    {
        AddProcess(Pid, "x", Uid, parent: 1);
        File.WriteAllText(FileOf(Pid, "status"), status);

        Assert.Equal(_peer, Read());
    }

    [Fact]
    public void A_process_of_another_pid_namespace_is_unknown()
    {
        var peer = new PeerProcess(Uid, 61_004);

        Assert.Equal(peer, new ProcessReader().Read(peer, null));
    }

    [Fact]
    public async Task The_process_at_the_other_end_of_a_socket_is_known_with_those_that_called_it()
    {
        using Socket listener = Listen(out string path);
        using Process sendmail = Start("sh", "-c", $"cd /usr/share && RELAYGATE_SUBMIT={path} '{SendmailRun.Executable}' ann@example.net; true");
        sendmail.StandardInput.Close();
        using Socket accepted = await listener.AcceptAsync().WaitAsync(TimeSpan.FromSeconds(10));

        PeerProcess peer = new ProcessReader().PeerOf(accepted)!;

        Assert.Equal((SubmissionHost.Uid, SendmailRun.Executable, "/usr/share"), (peer.Uid, peer.Executable, peer.WorkingDirectory));
        Assert.Equal([sendmail.Id, Environment.ProcessId], peer.Parents.Take(2).Select(p => p.Pid));
        Assert.Equal("sh", peer.Parents[0].Command);
    }

    [Fact]
    public async Task A_process_that_has_ended_before_it_is_looked_at_is_known_by_its_credentials_alone()
    {
        using Socket listener = Listen(out string path);
        using Process sendmail = Start("sh", "-c", $"RELAYGATE_SUBMIT={path} exec '{SendmailRun.Executable}' ann@example.net");
        sendmail.StandardInput.Close();
        Assert.True(listener.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectRead)); // It is connected, and waits for the greeting.
        sendmail.Kill();
        await sendmail.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(10));
        using Socket accepted = await listener.AcceptAsync();

        PeerProcess peer = new ProcessReader().PeerOf(accepted)!;

        Assert.Equal(new PeerProcess(SubmissionHost.Uid, peer.Gid, sendmail.Id), peer);
    }

    [Fact]
    public async Task Nothing_is_read_of_a_pid_whose_process_has_ended_and_that_was_given_to_another()
    {
        using Socket listener = Listen(out string path);
        using Process sendmail = Start("sh", "-c", $"RELAYGATE_SUBMIT={path} exec '{SendmailRun.Executable}' ann@example.net");
        sendmail.StandardInput.Close();
        Assert.True(listener.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectRead));
        sendmail.Kill();
        await sendmail.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(10));
        using Socket accepted = await listener.AcceptAsync();
        AddProcess(sendmail.Id, "innocent", SubmissionHost.Uid, parent: 1); // Has the pid now, and was there before the reading began.

        PeerProcess peer = new ProcessReader(_proc.Path).PeerOf(accepted)!;

        if (OperatingSystem.IsLinux() && Environment.OSVersion.Version >= new Version(6, 5))
            Assert.Null(peer.Command);
        else
            Assert.Equal("innocent", peer.Command); // Nothing better can be known there.
    }

    private Socket Listen(out string path)
    {
        path = Path.Combine(_proc.Path, "s");
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        return listener;
    }

    private static Process Start(string program, params string[] arguments) =>
        Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardError = true })!;

    private PeerProcess Read() => new ProcessReader(_proc.Path).Read(_peer, null);

    private string FileOf(int pid, string name) => Path.Combine(_proc.Path, pid.ToString(CultureInfo.InvariantCulture), name);

    private void AddProcess(int pid, string name, int uid, int parent, long startTicks = 42)
    {
        Directory.CreateDirectory(Path.Combine(_proc.Path, $"{pid}"));
        File.WriteAllText(FileOf(pid, "status"), $"Name:\t{name}\nUmask:\t0022\nState:\tS (sleeping)\nPPid:\t{parent}\nTracerPid:\t0\nUid:\t1\t{uid}\t{uid}\t{uid}\nGid:\t1\t1\t1\t1\n");
        File.WriteAllText(FileOf(pid, "stat"), $"{pid} (a) S ) b) S {parent} {string.Join(' ', Enumerable.Repeat(1, 17))} {startTicks} 9 9\n");
    }

    private static int Run(string program, string argument)
    {
        using Process process = Process.Start(program, [argument]);
        process.WaitForExit(10_000);
        return process.ExitCode;
    }
}
