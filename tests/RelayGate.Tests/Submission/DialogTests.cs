using System.Runtime.CompilerServices;

namespace RelayGate.Tests.Submission;

/// <summary>Replays every file of Dialogs whole, by line and by octet through the real listener.</summary>
public class DialogTests
{
    public static TheoryData<string> Files => [.. Directory.GetFiles(Folder(), "*.smtp").Select(path => Path.GetFileNameWithoutExtension(path)).Order()];

    [Theory]
    [MemberData(nameof(Files))]
    public async Task Replayed(string name)
    {
        var dialog = Dialog.Read(Path.Combine(Folder(), name + ".smtp"));
        await using SubmissionHost host = await SubmissionHost.StartAsync();

        await dialog.ReplayWholeAsync(host.Listener(dialog.Listener));
        await dialog.ReplayByLineAsync(host.Listener(dialog.Listener));
        await dialog.ReplayByOctetAsync(host.Listener(dialog.Listener));
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Dialogs");
}
