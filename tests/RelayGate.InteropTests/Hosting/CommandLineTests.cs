using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Hosting;

/// <summary>The command line as a script meets it: exit codes, JSON, and one clear line for what is wrong.</summary>
public sealed class CommandLineTests
{
    [Fact]
    public async Task Exit_codes_tell_the_kinds_of_failure_apart()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        (await gateway.TryCliAsync("plan", "add", "basic")).ShouldExit(5).ShouldSay("basic");
        (await gateway.TryCliAsync("plan", "remove", "basic")).ShouldExit(5).ShouldSay("acme");
        (await gateway.TryCliAsync("subscription", "show", "nobody")).ShouldExit(3).ShouldSay("nobody");
        (await gateway.TryCliAsync("domain", "add", "not a domain", "--subscription", "acme")).ShouldFail().ShouldSay("not a domain");
        (await gateway.TryCliAsync("frobnicate")).ShouldExit(2);
        (await gateway.TryCliAsync("limit", "set", "mailbox", "info@shop.test", "0")).ShouldFail().ShouldSay("forbidden");
        (await gateway.TryCliAsync("message", "explain", "01ARZ3NDEKTSV4RRFFQ69G5FAV")).ShouldExit(3);
        (await new ProgramRun(Repository.Gateway, "status", "--socket", gateway.Folder["nothing.sock"]).RunAsync()).ShouldExit(7).ShouldSay("nothing.sock");
    }

    [Fact]
    public async Task Lists_are_JSON_with_items()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        foreach (string area in (string[])["plan", "subscription", "domain", "mailbox", "ip", "network", "message", "queue"])
            Assert.IsType<JsonArray>((await gateway.CliJsonAsync(area, "list"))["items"]);
        await gateway.CliJsonAsync("status");
        await gateway.CliJsonAsync("limit", "tree");
    }

    [InteropFact(Programs.Root, "setpriv")]
    public async Task Other_users_may_not_administrate()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        ProgramResult result = await new ProgramRun("setpriv", "--reuid", "64299", "--regid", "64299", "--clear-groups",
            Repository.ReadableGateway, "plan", "add", "evil", "--socket", gateway.ControlSocket).RunAsync();

        result.ShouldExit(4);
    }

    [InteropTheory("openssl")]
    [InlineData("junk", "this is no key\n")]
    [InlineData("empty", "")]
    public async Task A_bad_key_file_is_one_clear_line(string name, string content)
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        string file = gateway.Folder.Write(name + ".pem", content);

        ProgramResult result = await gateway.TryCliAsync("dkim", "create", "shop.test", "--selector", "s1", "--key-file", file);

        result.ShouldFail().ShouldSay(name + ".pem");
        Assert.DoesNotContain("   at ", result.Output + result.Error, StringComparison.Ordinal);
        (await gateway.TryCliAsync("dkim", "create", "shop.test", "--selector", "s1", "--key-file", gateway.Folder["missing.pem"])).ShouldFail().ShouldSay("missing.pem");
    }
}
