using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Admin;

public sealed class QueueOrderTests
{
    [Theory]
    [InlineData("""{"refs":["01M846EJ0MQJP4QTFG5XNE30JK"],"subscription":"acme"}""", "not both")]
    [InlineData("""{"refs":["01M846EJ0MQJP4QTFG5XNE30JK"],"recipientDomain":"example.org"}""", "not both")]
    [InlineData("""{"domain":"shop.test","mailbox":"info@shop.test"}""", "either a domain or a mailbox")]
    [InlineData("""{"mailbox":"info@@"}""", "'info@@' is no mailbox")]
    [InlineData("{}", "name refs")]
    public async Task What_an_order_is_for_is_said_in_one_way(string body, string answer)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpClient http = gateway.Control();

        using HttpResponseMessage response = await http.PostAsJsonAsync("queue/delete", JsonNode.Parse(body));

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains(answer, (string)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["title"]!, StringComparison.Ordinal);
    }
}
