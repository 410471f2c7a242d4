using System.Text.Json.Nodes;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>dkimpy and OpenDKIM as judges of messages in files, with the public keys given to them in place of DNS.</summary>
public static class DkimJudges
{
    private const string DkimPyProgram = """
        import dkim, glob, os, sys
        os.chdir(sys.argv[1])
        keys = dict(line.rstrip('\n').split(' ', 1) for line in open('keys'))
        for f in sorted(glob.glob('*.eml')):
            try:
                message = open(f, 'rb').read()
                good = dkim.verify(message, dnsfunc=lambda name, timeout=5: keys.get(name.rstrip(b'.').decode(), '').encode())
            except Exception as e:
                good = repr(e)
            print(f[:-4], good)
        """;

    /// <summary>Makes the key <c>rg1</c> of shop.test, and writes its public half for the judges.</summary>
    public static async Task CreateKeyAsync(GatewayProcess gateway, TestFolder folder)
    {
        await gateway.CliAsync("dkim", "create", "shop.test", "--selector", "rg1");
        JsonNode key = (await gateway.CliJsonAsync("dkim", "dns", "shop.test"))["items"]![0]!;
        string value = key["dnsValue"]!.GetValue<string>().Replace("\" \"", "", StringComparison.Ordinal).Trim('"');
        folder.Write("keys", $"{key["dnsName"]!.GetValue<string>().TrimEnd('.')} {value}\n");
    }

    /// <summary>Verdict of dkimpy for each <c>*.eml</c> in <paramref name="folder"/>: "True" when the signature is good.</summary>
    /// <param name="folder">Holds the messages and the file <c>keys</c>: lines of DNS name, blank, record text.</param>
    public static async Task<IReadOnlyDictionary<string, string>> DkimPyAsync(TestFolder folder)
    {
        ProgramResult result = (await new ProgramRun(Programs.Python, "-c", DkimPyProgram, folder.FullName).RunAsync()).ShouldSucceed();
        return result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => line.Split(' ', 2))
            .ToDictionary(static p => p[0], static p => p[1], StringComparer.Ordinal);
    }

    /// <summary>Verdict of OpenDKIM for each <c>*.eml</c>: "succeeded", or what it said.</summary>
    public static async Task<IReadOnlyDictionary<string, string>> OpenDkimAsync(TestFolder folder)
    {
        string configuration = folder.Write("opendkim.conf", $"Mode v\nTestPublicKeys {folder["keys"]}\n");
        var verdicts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string file in Directory.GetFiles(folder.FullName, "*.eml"))
        {
            ProgramResult result = await new ProgramRun("opendkim", "-x", configuration, "-v", "-t", file).RunAsync();
            string? verdict = (result.Output + result.Error).Split('\n').FirstOrDefault(static l => l.Contains("verification (", StringComparison.Ordinal));
            verdicts[Path.GetFileNameWithoutExtension(file)] =
                verdict?.EndsWith("succeeded", StringComparison.Ordinal) == true ? "succeeded" : verdict ?? result.ToString();
        }
        return verdicts;
    }
}
