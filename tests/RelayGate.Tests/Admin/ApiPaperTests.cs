using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using RelayGate.Admin;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Admin;

/// <summary>What docs/api.md says exists, and the other way round.</summary>
public sealed class ApiPaperTests
{
    [Fact]
    public async Task Every_route_stands_in_the_paper_with_who_may_and_no_other()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        IEnumerable<string> routes = gateway.Get<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>().Where(static e => e.Metadata.GetMetadata<AdminAccess>() is not null).Select(static e =>
            $"{Assert.Single(e.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods)} {e.RoutePattern.RawText![AdminDispatcher.Prefix.Length..]} {(e.Metadata.GetMetadata<AdminAccess>()!.IsForAdministrators ? "admin" : "own")}");

        IEnumerable<string> written = Regex.Matches(Paper(), @"^\| (?<method>[A-Z]+) \| `(?<path>[^`]+)` \| (?<who>[a-z]+) \| \S", RegexOptions.Multiline)
            .Select(static m => $"{m.Groups["method"].Value} {m.Groups["path"].Value} {m.Groups["who"].Value}");

        Assert.Equal(string.Join('\n', routes.Order(StringComparer.Ordinal)), string.Join('\n', written.Order(StringComparer.Ordinal)));
    }

    private static string Paper([CallerFilePath] string thisFile = "") => File.ReadAllText(Path.Combine(Path.GetDirectoryName(thisFile)!, "../../../docs/api.md"));
}
