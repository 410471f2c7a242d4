namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A folder of one test, readable by every user and removed at the end.</summary>
public sealed class TestFolder : IDisposable
{
    public const UnixFileMode Traversable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    public TestFolder() => File.SetUnixFileMode(FullName, Traversable);

    public string FullName { get; } = Directory.CreateTempSubdirectory("rg-").FullName;

    /// <summary>Full name of <paramref name="name"/> inside.</summary>
    public string this[string name] => Path.Combine(FullName, name);

    public string Write(string name, string text)
    {
        File.WriteAllText(this[name], text);
        return this[name];
    }

    public void Dispose() => Directory.Delete(FullName, recursive: true);
}
