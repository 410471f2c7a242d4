using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace RelayGate.Tests;

/// <summary>Reads project references and using lines and fails when an arrow points the wrong way (docs/flow.md).</summary>
public partial class ArchitectureTests
{
    /// <summary>For each folder of the library, the other folders it may refer to. Hosting wires everything; submission and delivery meet in Queue.</summary>
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Configuration"] = [],
        ["Telemetry"] = ["Configuration", "Queue"],
        ["Storage"] = ["Accounts", "Configuration", "Egress", "Notices", "Queue", "Reports", "Sts", "Telemetry", "TlsReports"],
        ["Accounts"] = ["Configuration", "Queue", "Storage", "Telemetry"],
        ["Queue"] = ["Configuration", "Storage", "Telemetry"],
        ["Egress"] = ["Queue", "Storage", "Telemetry"],
        ["Replay"] = ["Accounts", "Configuration", "Queue", "Storage"],
        ["Reports"] = ["Accounts", "Configuration", "Notices", "Queue", "Storage", "Telemetry"],
        ["Tls"] = ["Configuration", "Telemetry"],
        ["Dns"] = ["Configuration", "Telemetry"],
        ["Sts"] = ["Accounts", "Configuration", "Dns", "Queue", "Storage", "Telemetry", "Tls"],
        ["Submission"] = ["Accounts", "Configuration", "Queue", "Telemetry", "Tls"],
        ["Replies"] = ["Configuration", "Telemetry"],
        ["Delivery"] = ["Configuration", "Dns", "Egress", "Queue", "Replies", "Telemetry", "Tls"],
        ["Notices"] = ["Accounts", "Configuration", "Dns", "Egress", "Queue", "Storage", "Telemetry"],
        ["TlsReports"] = ["Accounts", "Configuration", "Dns", "Notices", "Queue", "Storage", "Telemetry"],
        ["Admin"] = ["Accounts", "Configuration", "Dns", "Egress", "Notices", "Queue", "Replay", "Replies", "Reports", "Storage", "Telemetry", "Tls", "TlsReports"],
        ["Hosting"] = ["Accounts", "Admin", "Configuration", "Delivery", "Dns", "Egress", "Notices", "Queue", "Replay", "Replies", "Reports", "Storage", "Sts", "Submission", "Telemetry", "Tls", "TlsReports"],
    };

    private static string Root([CallerFilePath] string thisFile = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(thisFile)!, "..", ".."));

    [Fact]
    public void Core_refers_to_nothing_but_the_base_class_library()
    {
        XDocument project = XDocument.Load(Path.Combine(Root(), "src/RelayGate.Core/RelayGate.Core.csproj"));

        Assert.Empty(project.Descendants("ProjectReference"));
        Assert.Empty(project.Descendants("PackageReference"));
        Assert.Empty(project.Descendants("FrameworkReference"));
        Assert.DoesNotContain(Usings("src/RelayGate.Core"), u => !u.Namespace.StartsWith("System", StringComparison.Ordinal)
            && !u.Namespace.StartsWith("RelayGate.Core.", StringComparison.Ordinal));
    }

    [Fact]
    public void Sendmail_refers_to_core_alone()
    {
        XDocument project = XDocument.Load(Path.Combine(Root(), "src/RelayGate.Sendmail/RelayGate.Sendmail.csproj"));

        XElement reference = Assert.Single(project.Descendants("ProjectReference"));
        Assert.EndsWith("RelayGate.Core.csproj", reference.Attribute("Include")!.Value, StringComparison.Ordinal);
        Assert.Empty(project.Descendants("PackageReference"));
    }

    [Fact]
    public void Every_folder_of_the_library_refers_only_to_folders_it_may()
    {
        var wrong = new List<string>();
        string[] folders = [.. Directory.GetDirectories(Path.Combine(Root(), "src/RelayGate")).Select(d => Path.GetFileName(d)).Where(d => d is not ("bin" or "obj"))];
        foreach (string folder in folders)
        {
            Assert.True(Allowed.ContainsKey(folder), $"src/RelayGate/{folder} has no row in the table of arrows");
            foreach ((string file, string ns) in Usings(Path.Combine("src/RelayGate", folder)))
            {
                string target = ns.StartsWith("RelayGate.", StringComparison.Ordinal) ? ns.Split('.')[1] : "";
                if (target is "" or "Core" || target == folder || Allowed[folder].Contains(target))
                    continue;
                wrong.Add($"{folder}/{file} uses {ns}");
            }
        }
        Assert.Empty(wrong);
    }

    private static IEnumerable<(string File, string Namespace)> Usings(string folder) =>
        from path in Directory.EnumerateFiles(Path.Combine(Root(), folder), "*.cs", SearchOption.AllDirectories)
        where !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal)
        from line in File.ReadLines(path)
        let match = UsingLine().Match(line)
        where match.Success
        select (Path.GetFileName(path), match.Groups["ns"].Value);

    [GeneratedRegex(@"^\s*(?:global\s+)?using\s+(?:static\s+)?(?:\w+\s*=\s*)?(?<ns>[A-Z][\w.]*)\s*;", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex UsingLine();
}
