using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using RelayGate.Server;

namespace RelayGate.Tests.Server;

/// <summary>The table of commands in README.md and the tree of verbs have the same.</summary>
public sealed class ReadmeCommandsTests
{
    [Fact]
    public void Every_command_stands_in_the_readme_and_no_other()
    {
        string text = File.ReadAllText(ReadmePath());
        string table = text[text.IndexOf("| Command | |", StringComparison.Ordinal)..];
        table = table[..table.IndexOf("\n\n", StringComparison.Ordinal)];
        string[] written = [.. table.Split('\n').Skip(2).SelectMany(CommandsOf).Order(StringComparer.Ordinal)];

        Assert.Equal(Leaves(CommandLine.CreateRoot(), "").Order(StringComparer.Ordinal), written);
    }

    /// <summary>Names in the first column, the verbs of each in the second; a name without verbs stands for itself.</summary>
    private static IEnumerable<string> CommandsOf(string row)
    {
        string[] columns = row.Trim('|', ' ').Split(" | ");
        string[] verbs = [.. Regex.Matches(columns[1].Split(": ")[0], "`([^`]+)`").Select(static m => m.Groups[1].Value)];
        foreach (string name in Regex.Matches(columns[0], "`([^`]+)`").Select(static m => m.Groups[1].Value.Split(" --")[0]))
        {
            foreach (string verb in verbs.DefaultIfEmpty(""))
                yield return $"{name} {verb}".TrimEnd();
        }
    }

    private static IEnumerable<string> Leaves(Command command, string path) =>
        command.Subcommands.Count == 0 ? [path] : command.Subcommands.SelectMany(below => Leaves(below, $"{path} {below.Name}".TrimStart()));

    private static string ReadmePath([CallerFilePath] string thisFile = "") => Path.Combine(Path.GetDirectoryName(thisFile)!, "..", "..", "..", "README.md");
}
