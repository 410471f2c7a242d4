using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using RelayGate.Configuration;
using RelayGate.Core.Notices;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Configuration;

public sealed class ConfigurationLoaderTests : IDisposable
{
    private const string Listener = """ "Listeners": [ { "Endpoint": "127.0.0.1:2525" } ] """;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_least_configuration_has_the_documented_defaults()
    {
        RelayGateOptions options = Load($$"""{ "RelayGate": { {{Listener}} } }""");

        Assert.Equal("127.0.0.1:2525", Assert.Single(options.Listeners).Endpoint);
        Assert.Equal("mx", options.Delivery.NextHop);
        Assert.Equal(TimeSpan.FromDays(4), options.Delivery.Retry.GiveUpAfter);
        Assert.Equal("100/h", options.Limits.Defaults.Mailbox);
        Assert.Equal(52_428_800, options.MaxMessageOctets);
        Assert.NotEmpty(options.Hostname);
    }

    [Fact]
    public void Comments_and_trailing_commas_are_allowed_and_paths_are_relative_to_the_file()
    {
        RelayGateOptions options = Load("""
            // first
            { "RelayGate": { /* inside */
                "DataDirectory": "data",
                "Listeners": [ { "Name": "s", "Endpoint": "unix:run/submit.sock", }, ],
                "Admin": { "Endpoint": null, "Socket": "run/control.sock" },
            }, }
            """);

        Assert.Equal(_folder.File("data"), options.DataDirectory);
        Assert.Equal("unix:" + _folder.File("run/submit.sock"), options.Listeners[0].Endpoint);
        Assert.Equal(_folder.File("run/control.sock"), options.Admin.Socket);
        Assert.Null(options.Admin.Endpoint);
    }

    [Fact]
    public void Later_sources_win_and_lists_are_replaced_whole()
    {
        _folder.Write("conf.d/20-b.json", """{ "RelayGate": { "Hostname": "b.example" } }""");
        _folder.Write("conf.d/10-a.json", """{ "RelayGate": { "Hostname": "a.example", "Listeners": [ { "Endpoint": "127.0.0.1:26" } ] } }""");
        _folder.Write("conf.d/ignored.txt", "no JSON");
        var environment = new Hashtable { ["RELAYGATE__DELIVERY__NEXTHOP"] = "smtp://127.0.0.1:25", ["RelayGate__Listeners__1__Endpoint"] = "127.0.0.1:27", ["OTHER"] = "x" };
        var overrides = new Dictionary<string, string> { ["RelayGate:Hostname"] = "c.example" };

        LoadedConfiguration loaded = ConfigurationLoader.Load(
            _folder.Write("appsettings.json", """{ "RelayGate": { "Hostname": "x.example", "Listeners": [ { "Endpoint": "127.0.0.1:1" }, { "Endpoint": "127.0.0.1:2" } ] } }"""), overrides, environment);

        Assert.Equal("c.example", loaded.Options.Hostname);
        Assert.Equal("smtp://127.0.0.1:25", loaded.Options.Delivery.NextHop);
        Assert.Equal(["127.0.0.1:26", "127.0.0.1:27"], loaded.Options.Listeners.Select(l => l.Endpoint));
        Assert.Equal(3, loaded.Files.Count);
    }

    /// <summary>Each row: what stands inside "RelayGate" beside a good listener, and what the one fault must name.</summary>
    [Theory]
    [InlineData("\"Hostnam\": \"a.example\"", "RelayGate:Hostnam: unknown key; did you mean Hostname?")]
    [InlineData("\"Zzzzzzzzz\": 1", "RelayGate:Zzzzzzzzz: unknown key; known here: Admin")]
    [InlineData("\"Hostname\": 5", "RelayGate:Hostname = 5: a host name")]
    [InlineData("\"Hostname\": \"a b\"", "RelayGate:Hostname = \"a b\": a host name")]
    [InlineData("\"Hostname\": \"evil\\r\\nX: y\"", "RelayGate:Hostname = \"evil  X: y\"")]
    [InlineData("\"Postmaster\": \"nobody\"", "RelayGate:Postmaster = \"nobody\": an address")]
    [InlineData("\"MaxRecipients\": 99", "a whole number of recipients from 100 to 100000")]
    [InlineData("\"MaxRecipients\": 1.5", "a whole number of recipients")]
    [InlineData("\"MaxMessageOctets\": \"big\"", "RelayGate:MaxMessageOctets = \"big\"")]
    [InlineData("\"MaxMessageOctets\": 99999999999999999999", "a whole number of octets")]
    [InlineData("\"DataDirectory\": \"\"", "the path of a folder is expected")]
    [InlineData("\"Sessions\": { \"Idle\": \"-00:01:00\" }", "RelayGate:Sessions:Idle = \"-00:01:00\": a time from 00:00:01 to 01:00:00")]
    [InlineData("\"Sessions\": { \"Idle\": 5 }", "\"hh:mm:ss\"")]
    [InlineData("\"Sessions\": { \"Idle\": \"5\" }", "\"hh:mm:ss\"")]
    [InlineData("\"Sessions\": 5", "RelayGate:Sessions = 5: an object")]
    [InlineData("\"Sender\": { \"Login\": \"Maybe\" }", "one of Correct, Reject, Trust is expected")]
    [InlineData("\"Sender\": { \"Login\": \"1\" }", "one of Correct, Reject, Trust is expected")]
    [InlineData("\"Egress\": { \"IPv4\": \"::1\" }", "an IPv4 address of this host")]
    [InlineData("\"Egress\": { \"IPv6\": \"192.0.2.1\" }", "an IPv6 address of this host")]
    [InlineData("\"Egress\": { \"Mode\": \"Explicit\" }", "Explicit needs Egress:IPv4 or Egress:IPv6")]
    [InlineData("\"Delivery\": { \"NextHop\": \"smtp:/relay\" }", "\"mx\" or \"smtp://host:port\"")]
    [InlineData("\"Delivery\": { \"NextHop\": \"smtp://user:pw@host:25\" }", "\"mx\" or \"smtp://host:port\"")]
    [InlineData("\"Delivery\": { \"NextHop\": \"smtp://host:0\" }", "\"mx\" or \"smtp://host:port\"")]
    [InlineData("\"Delivery\": { \"NextHop\": \"smtp://192.0.2.300:25\" }", "\"mx\" or \"smtp://host:port\"")]
    [InlineData("\"Delivery\": { \"Resolver\": \"localhost\" }", "of a DNS server")]
    [InlineData("\"Delivery\": { \"Retry\": { \"First\": \"05:00:00\" } }", "First must not be longer than Longest")]
    [InlineData("\"Delivery\": { \"Retry\": { \"Classes\": { \"greylist\": { \"First\": \"00:01:00\" } } } }", ": no class of replies; one of invalid-recipient")]
    [InlineData("\"Delivery\": { \"Retry\": { \"Classes\": { \"greylisted\": { \"First\": \"1\" } } } }", "RelayGate:Delivery:Retry:Classes:greylisted:First = \"1\": a time from")]
    [InlineData("\"Delivery\": { \"Retry\": { \"Classes\": { \"rate\": { \"First\": \"02:00:00\", \"Longest\": \"01:00:00\" } } } }", "Classes:rate:First = \"02:00:00\": First must not be longer than Longest (01:00:00)")]
    [InlineData("\"Delivery\": { \"Providers\": { \"google.com\": { \"Retry\": { \"First\": \"05:00:00\" } } } }", "Providers:google.com:Retry:First = \"05:00:00\": First must not be longer than Longest (04:00:00)")]
    [InlineData("\"Delivery\": { \"Providers\": { \"google.com\": { \"Retry\": { \"Frist\": \"05:00:00\" } } } }", "did you mean First?")]
    [InlineData("\"Delivery\": { \"MemoryOctets\": 4096 }", "a whole number of octets from 4194304 to 17179869184")]
    [InlineData("\"Delivery\": { \"Providers\": { \"google.com\": { \"MessagesPerConnection\": 0 } } }", "a whole number of messages from 1 to 100000")]
    [InlineData("\"Limits\": { \"Defaults\": { \"Mailbox\": \"0\" } }", "\"100/h\", \"1000/d\"")]
    [InlineData("\"Limits\": { \"Defaults\": { \"Mailbox\": \"100\" } }", "\"100/h\", \"1000/d\"")]
    [InlineData("\"Limits\": { \"Enforce\": \"yes\" }", "true or false")]
    [InlineData("\"Storage\": { \"Provider\": \"Oracle\" }", "Sqlite is expected")]
    [InlineData("\"Admin\": { \"Endpoint\": \"8587\" }", "RelayGate:Admin:Endpoint = \"8587\": \"ip:port\" is expected, or null")]
    [InlineData("\"Admin\": { \"Endpoint\": \"127.0.0.1:2525\" }", "overlaps with listener")]
    [InlineData("\"Hostname\": \"a.example\", \"hostname\": \"b.example\"", "a second time")]
    public void Junk_is_one_fault_in_one_line(string member, string expected)
    {
        string line = Assert.Single(Faults($$"""{ "RelayGate": { {{Listener}}, {{member}} } }"""));

        Assert.StartsWith(_folder.File("appsettings.json"), line, StringComparison.Ordinal);
        Assert.Contains(expected, line, StringComparison.Ordinal);
        Assert.DoesNotContain(line, char.IsControl);
    }

    [Theory]
    [InlineData("""[ { "Endpoint": "127.0.0.1" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Endpoint": "localhost:25" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Endpoint": "127.1:25" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Endpoint": "::1:25" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Endpoint": "127.0.0.1:99999" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Name": "x" } ]""", "\"ip:port\"")]
    [InlineData("""[ { "Endpoint": "unix:" } ]""", "unix:/path")]
    [InlineData("""[ { "Endpoint": "unix:/tmp/s", "Tls": "StartTls" } ]""", "a unix socket has no TLS")]
    [InlineData("""[ { "Endpoint": "127.0.0.1:25" }, { "Endpoint": "127.0.0.1:25", "Name": "b" } ]""", "overlaps with listener 127.0.0.1:25")]
    [InlineData("""[ { "Name": "a", "Endpoint": "0.0.0.0:25" }, { "Endpoint": "127.0.0.1:25" } ]""", "overlaps with listener a (0.0.0.0:25)")]
    [InlineData("""[ { "Name": "a", "Endpoint": "[::]:25" }, { "Endpoint": "127.0.0.1:25" } ]""", "overlaps with listener a")]
    [InlineData("""[ { "Name": "a", "Endpoint": "127.0.0.1:0" }, { "Name": "a", "Endpoint": "127.0.0.1:0" } ]""", "another listener has this name")]
    [InlineData("""[ { "Endpoint": "0.0.0.0:587", "Tls": "StartTls" } ]""", "needs a certificate")]
    [InlineData("""[ { "Endpoint": "127.0.0.1:587", "Tls": "Sometimes" } ]""", "one of None, StartTls, Implicit")]
    [InlineData("""[ { "Endpoint": "127.0.0.1:587", "LoopbackTls": "Implicit" } ]""", "one of None, StartTls")]
    [InlineData("""[ 5 ]""", "an object")]
    [InlineData("""[ ]""", "at least one listener")]
    [InlineData("5", "a list")]
    public void Bad_listeners_are_one_fault(string listeners, string expected) =>
        Assert.Contains(expected, Assert.Single(Faults($$"""{ "RelayGate": { "Listeners": {{listeners}} } }""")), StringComparison.Ordinal);

    [Theory]
    [InlineData("", "the file is empty")]
    [InlineData("[]", "must hold one object")]
    [InlineData("{}", "RelayGate: missing")]
    [InlineData("{ \"RelayGate\": {}, \"RelayGat\": {} }", "unknown key")]
    [InlineData("{\n  \"RelayGate\": {\n    \"Hostname\": oops\n  }\n}", "appsettings.json:3:17: not valid JSON")]
    [InlineData("{ \"RelayGate\": {} } x", "not valid JSON")]
    [InlineData("{ \"RelayGate\": {", "not valid JSON")]
    public void A_broken_file_is_named_with_its_place(string text, string expected) =>
        Assert.Contains(Faults(text), f => f.Contains(expected, StringComparison.Ordinal));

    [Fact]
    public void All_faults_are_reported_at_once_with_their_files_and_lines()
    {
        string dropIn = _folder.Write("conf.d/a.json", "{ \"RelayGate\": {\n \"MaxRecipients\": 1 } }");

        string[] faults = Faults($$"""{ "RelayGate": { {{Listener}}, "Hostname": "", "Nonsense": 1 } }""", new Hashtable { ["RELAYGATE__MAXMESSAGEOCTETS"] = "12", ["RELAYGATE__X__Y"] = "1" });

        Assert.Equal(5, faults.Length);
        Assert.Contains(faults, f => f.StartsWith($"{dropIn}:2: RelayGate:MaxRecipients = 1", StringComparison.Ordinal));
        Assert.Contains(faults, f => f.StartsWith("RELAYGATE__MAXMESSAGEOCTETS: RelayGate:MaxMessageOctets = 12", StringComparison.Ordinal));
        Assert.Contains(faults, f => f.StartsWith("RELAYGATE__X__Y: RelayGate:X: unknown key", StringComparison.Ordinal));
    }

    [Fact]
    public void A_missing_file_says_so() => Assert.Contains("no such file", Assert.Throws<ConfigurationException>(() =>
        ConfigurationLoader.Load(_folder.File("absent.json"), environment: new Hashtable())).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("mx", "mx")]
    [InlineData("MX", "mx")]
    [InlineData("smtp://relay.example.net", "smtp://relay.example.net:25")]
    [InlineData("SMTP://Relay.Example.net:2525", "smtp://relay.example.net:2525")]
    [InlineData("smtp://localhost:2525", "smtp://localhost:2525")]
    [InlineData("smtp://192.0.2.1:25", "smtp://192.0.2.1:25")]
    [InlineData("smtp://192.0.2.1", "smtp://192.0.2.1:25")]
    [InlineData("smtp://[2001:db8::1]:26", "smtp://[2001:db8::1]:26")]
    [InlineData("smtp://[2001:db8::1]", "smtp://[2001:db8::1]:25")]
    [InlineData("smtp://", null)]
    [InlineData("smtp://:25", null)]
    [InlineData("smtp://2001:db8::1", null)]
    [InlineData("smtps://relay.example.net", "smtps://relay.example.net:465")]
    [InlineData("smtp://relay.example.net:70000", null)]
    [InlineData("smtp://relay.example.net/path", null)]
    public void Next_hops(string text, string? expected) => Assert.Equal(expected, OptionsReader.NormaliseNextHop(text));

    /// <summary>The commented file of the repository is what administrators start from: it is valid and says what the defaults are.</summary>
    [Fact]
    public void The_repositorys_own_file_shows_the_defaults()
    {
        RelayGateOptions options = ConfigurationLoader.Load(Path.Combine(Root(), "appsettings.json"), environment: new Hashtable()).Options;
        RelayGateOptions defaults = Load($$"""{ "RelayGate": { {{Listener}} } }""");

        (options.Hostname, options.Postmaster, options.Listeners) = (defaults.Hostname, defaults.Postmaster, defaults.Listeners);
        Assert.Equal(JsonSerializer.Serialize(defaults), JsonSerializer.Serialize(options));
    }

    /// <summary>Every key stands in the file; those of lists and of names of the user's choice at least in the comment with its example.</summary>
    [Fact]
    public void The_repositorys_own_file_has_every_key()
    {
        string text = File.ReadAllText(Path.Combine(Root(), "appsettings.json"));
        using JsonDocument file = JsonDocument.Parse(text, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip });
        var missing = new List<string>();
        Look(typeof(RelayGateOptions), file.RootElement.GetProperty("RelayGate"), "RelayGate");
        Assert.Empty(missing);
        Assert.Contains(NoticeKinds.Words, Regex.Replace(text, @"\s*\n\s*//\s*", " "), StringComparison.Ordinal);

        void Look(Type type, JsonElement? section, string path)
        {
            foreach (PropertyInfo property in type.GetProperties().Where(static p => p.GetIndexParameters().Length == 0))
            {
                bool isMap = property.PropertyType.IsGenericType && property.PropertyType.GetGenericTypeDefinition() == typeof(Dictionary<,>);
                if (!property.CanWrite && !isMap)
                    continue;
                string key = $"{path}:{property.Name}";
                JsonElement value = default;
                if (section is { } written ? !written.TryGetProperty(property.Name, out value) : !text.Contains($"\"{property.Name}\": ", StringComparison.Ordinal))
                    missing.Add(key);
                else if (isMap || (property.PropertyType.IsGenericType && property.PropertyType.GetGenericTypeDefinition() == typeof(IList<>)))
                    Look(property.PropertyType.GetGenericArguments()[^1], null, key);
                else if (property.PropertyType.Namespace == typeof(RelayGateOptions).Namespace && property.PropertyType.IsClass)
                    Look(property.PropertyType, section is null ? null : value, key);
            }
        }
    }

    [Fact]
    public void The_papers_name_every_kind_of_notice() =>
        Assert.Contains($"repeats included: {NoticeKinds.Words} |", File.ReadAllText(Path.Combine(Root(), "docs", "telemetry.md")), StringComparison.Ordinal);

    private static string Root([CallerFilePath] string thisFile = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(thisFile)!, "..", "..", ".."));

    private RelayGateOptions Load(string text) => ConfigurationLoader.Load(_folder.Write("appsettings.json", text), environment: new Hashtable()).Options;

    private string[] Faults(string text, IDictionary? environment = null)
    {
        string file = _folder.Write("appsettings.json", text);
        return [.. Assert.Throws<ConfigurationException>(() => ConfigurationLoader.Load(file, environment: environment ?? new Hashtable())).Faults.Select(f => f.ToString())];
    }
}
