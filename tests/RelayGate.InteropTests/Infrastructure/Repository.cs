namespace RelayGate.InteropTests.Infrastructure;

/// <summary>Where the checkout and what was built from it lie, seen from the test assembly.</summary>
public static class Repository
{
    /// <summary>Folder with RelayGate.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Debug or Release: what this assembly was built in.</summary>
    public static string Configuration { get; } = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Parent!.Name;

    /// <summary>The executable <c>relaygate</c>, built in the same configuration as this assembly.</summary>
    public static string Gateway { get; } = Path.Combine(Output("RelayGate.Server"), "relaygate");

    /// <summary>The executable <c>relaygate-sendmail</c>, in a folder that every user may read.</summary>
    public static string Sendmail { get; } = Path.Combine(Readable(Output("RelayGate.Sendmail")), "relaygate-sendmail");

    /// <summary>The same executable where every user may run it.</summary>
    public static string ReadableGateway { get; } = Path.Combine(Readable(Output("RelayGate.Server")), "relaygate");

    /// <summary>A file of the test project, such as a client snippet.</summary>
    public static string TestFile(string relative) => Path.Combine(Root, "tests", "RelayGate.InteropTests", relative);

    private static string Output(string project)
    {
        var own = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')); // …/bin/Release/net10.0
        return Path.Combine(Root, "src", project, "bin", own.Parent!.Name, own.Name);
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "RelayGate.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"No RelayGate.sln above {AppContext.BaseDirectory}");
    }

    /// <summary>A checkout below a home folder is closed to other users; their sendmail is then run from a copy.</summary>
    private static string Readable(string folder)
    {
        for (DirectoryInfo? d = new(folder); d is not null; d = d.Parent)
        {
            if (d.Exists && !d.UnixFileMode.HasFlag(UnixFileMode.OtherExecute))
                return CopyOf(folder);
        }
        return folder;
    }

    private static string CopyOf(string folder)
    {
        string copy = Directory.CreateTempSubdirectory("relaygate-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(copy, recursive: true);
        File.SetUnixFileMode(copy, TestFolder.Traversable);
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(copy, Path.GetRelativePath(folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!, TestFolder.Traversable);
            File.Copy(file, target);
        }
        return copy;
    }
}
