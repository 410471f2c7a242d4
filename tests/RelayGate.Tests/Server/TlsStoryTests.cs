using System.Text.Json.Nodes;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Server;

/// <summary>What <c>message explain</c> tells of TLS.</summary>
public sealed class TlsStoryTests
{
    [Fact]
    public async Task The_story_of_a_message_says_what_was_asked_of_tls_and_what_came_of_it()
    {
        await using var hop = new FakeNextHop();
        hop.Extensions.Add("STARTTLS");
        await using var plain = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        var relaygate = new CommandRun(gateway.ControlSocket);
        foreach (string command in new[] { "subscription add acme", "domain add shop.test --subscription acme" })
            await relaygate.OkAsync(command);
        await relaygate.OkAsync("mailbox add info@shop.test --password-stdin", "secret-7\n");

        string may = await StoryAsync();
        await relaygate.OkAsync($"route set server --next-hop {hop.Url} --tls encrypt");
        string encrypted = await StoryAsync();
        await relaygate.OkAsync($"route set server --next-hop {plain.Url} --tls encrypt");
        string without = await StoryAsync();

        Assert.Matches(@"attempt +ended at end-of-data, next hop \[127\.0\.0\.1\] \(127\.0\.0\.1:\d+\), from 127\.0\.0\.1, TLS 1\.[23] [^,]* in ", may); // Opportunistic: no policy worth a word.
        Assert.Matches(@"attempt +ended at end-of-data, .*, TLS 1\.[23] [^,]*, TLS policy encrypt ok in ", encrypted);
        Assert.Matches(@"attempt +ended at \w+, next hop \[127\.0\.0\.1\] .*, TLS policy encrypt starttls-not-supported in ", without);
        Assert.Matches(@"deferred +ann@example\.net: .*TLS", without);

        async Task<string> StoryAsync()
        {
            string sent = await relaygate.OkAsync($"send --server {gateway.Local} --login info@shop.test --password-stdin --to ann@example.net --json", "secret-7");
            string reference = (string)JsonNode.Parse(sent)!["ref"]!, story = "";
            for (int i = 0; i < 20 && !story.Contains("  attempt ", StringComparison.Ordinal); i++)
                story = await relaygate.OkAsync($"message explain {reference}");
            return story;
        }
    }
}
