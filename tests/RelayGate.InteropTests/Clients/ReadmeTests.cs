using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Clients;

/// <summary>What README.md shows is what the tests run.</summary>
public sealed class ReadmeTests
{
    public static TheoryData<string> Names => [.. Directory.EnumerateFiles(Repository.TestFile("Snippets")).Select(f => Path.GetFileName(f)!).Order()];

    [Theory]
    [MemberData(nameof(Names))]
    public void The_README_shows_the_snippet_word_for_word(string name)
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        string snippet = File.ReadAllText(Repository.TestFile("Snippets/" + name));

        Assert.Contains("\n" + snippet + "```", readme, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_snippet_has_a_test_that_runs_it() => Assert.Equal(
        ["curl.sh", "msmtprc", "php.ini", "phpmailer.php", "send.py", "sendmail.sh", "swaks.sh"],
        Directory.EnumerateFiles(Repository.TestFile("Snippets")).Select(static f => Path.GetFileName(f)).Order(StringComparer.Ordinal));
}
