using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Configuration;

namespace RelayGate.Server.Cli;

/// <summary>HTTP to a running gateway over its control socket. Faults become <see cref="CliException"/>s with the exit code that fits.</summary>
internal sealed class ControlClient : IDisposable
{
    private const string DefaultSocket = "/run/relaygate/control.sock";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);

    private readonly HttpClient _http;
    private readonly string _socket;

    /// <param name="socket">Of <c>--socket</c>; null: RELAYGATE_SOCKET, else the usual place.</param>
    public ControlClient(string? socket)
    {
        _socket = socket ?? (Environment.GetEnvironmentVariable("RELAYGATE_SOCKET") is { Length: > 0 } set ? set : DefaultSocket);
        if (!ListenerEndpoint.IsSocketPath(_socket))
            throw new CliException(ExitCode.Usage, $"{_socket} cannot be the path of a socket, which has at most {ListenerEndpoint.MaxSocketPathOctets} octets");
        _http = new HttpClient(new SocketsHttpHandler { ConnectCallback = ConnectAsync, UseProxy = false, UseCookies = false, AllowAutoRedirect = false })
        {
            BaseAddress = new Uri("http://relaygate/api/v1/"),
            Timeout = Timeout,
        };
    }

    public Task<JsonNode> GetAsync(string path, CancellationToken cancellationToken) => SendAsync(HttpMethod.Get, path, null, cancellationToken);

    public Task<JsonNode> PostAsync(string path, JsonNode? body, CancellationToken cancellationToken) => SendAsync(HttpMethod.Post, path, body, cancellationToken);

    public Task<JsonNode> PutAsync(string path, JsonNode? body, CancellationToken cancellationToken) => SendAsync(HttpMethod.Put, path, body, cancellationToken);

    public Task<JsonNode> PatchAsync(string path, JsonNode? body, CancellationToken cancellationToken) => SendAsync(HttpMethod.Patch, path, body, cancellationToken);

    public Task<JsonNode> DeleteAsync(string path, CancellationToken cancellationToken) => SendAsync(HttpMethod.Delete, path, null, cancellationToken);

    /// <summary>An answer of one line of JSON for each thing there is to say; a problem on the way ends it.</summary>
    public async IAsyncEnumerable<JsonNode> LinesAsync(HttpMethod method, string path, JsonNode? body, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = Request(method, path, body);
        using HttpResponseMessage response = await AskAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
        while (await ReadLineAsync(reader, cancellationToken) is { } line)
        {
            JsonNode node = Parse(line) ?? throw new CliException(ExitCode.Failed, "the gateway ended its answer in the middle");
            if ((string?)node["problem"] is { } problem)
                throw new CliException(ExitCode.Failed, problem);
            yield return node;
        }
    }

    /// <returns>The answer's JSON; an empty object for an empty answer.</returns>
    public async Task<JsonNode> SendAsync(HttpMethod method, string path, JsonNode? body, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = Request(method, path, body);
        using HttpResponseMessage response = await AskAsync(request, HttpCompletionOption.ResponseContentRead, cancellationToken);
        return Parse(await response.Content.ReadAsStringAsync(cancellationToken)) ?? new JsonObject();
    }

    /// <summary>An answer that is not JSON, whole in memory, and the number of octets there are in all where it was cut.</summary>
    public async Task<(byte[] Octets, long Of)> OctetsAsync(string path, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = Request(HttpMethod.Get, path, null);
        using HttpResponseMessage response = await AskAsync(request, HttpCompletionOption.ResponseContentRead, cancellationToken);
        byte[] octets = await response.Content.ReadAsByteArrayAsync(cancellationToken);
        bool isKnown = response.Headers.TryGetValues("X-Octets", out IEnumerable<string>? all) && long.TryParse(all.First(), out long of) && of > octets.Length;
        return (octets, isKnown ? long.Parse(all!.First(), System.Globalization.CultureInfo.InvariantCulture) : octets.Length);
    }

    public void Dispose() => _http.Dispose();

    private static HttpRequestMessage Request(HttpMethod method, string path, JsonNode? body) => new(method, path)
    {
        Content = body is null ? null : new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json"),
    };

    private async Task<HttpResponseMessage> AskAsync(HttpRequestMessage request, HttpCompletionOption until, CancellationToken cancellationToken)
    {
        try
        {
            HttpResponseMessage response = await _http.SendAsync(request, until, cancellationToken);
            if (response.IsSuccessStatusCode)
                return response;
            using (response)
            {
                JsonNode? answer = Parse(await response.Content.ReadAsStringAsync(cancellationToken));
                throw new CliException(CodeFor(response.StatusCode), (string?)answer?["title"] ?? $"the gateway answered {(int)response.StatusCode}");
            }
        }
        catch (HttpRequestException error)
        {
            if (error.InnerException is SocketException { SocketErrorCode: SocketError.AccessDenied })
                throw new CliException(ExitCode.NotPermitted, $"not permitted to use the control socket {_socket}: become root or a member of the gateway's admin group");
            throw new CliException(ExitCode.Unreachable, $"no gateway answers on {_socket}: is it running? (systemctl status relaygate; another socket: --socket PATH or RELAYGATE_SOCKET)");
        }
        catch (TaskCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CliException(ExitCode.Unreachable, $"the gateway on {_socket} did not answer within {Timeout.TotalSeconds:0} s");
        }
    }

    private static async Task<string?> ReadLineAsync(StreamReader reader, CancellationToken cancellationToken)
    {
        try
        {
            return await reader.ReadLineAsync(cancellationToken);
        }
        catch (Exception error) when (error is IOException or HttpRequestException)
        {
            throw new CliException(ExitCode.Unreachable, "the gateway ended the connection in the middle of its answer");
        }
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(_socket), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static JsonNode? Parse(string text)
    {
        try
        {
            return text.Length == 0 ? null : JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static int CodeFor(HttpStatusCode status) => status switch
    {
        HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity => ExitCode.Usage,
        HttpStatusCode.NotFound => ExitCode.NotFound,
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => ExitCode.NotPermitted,
        HttpStatusCode.Conflict or HttpStatusCode.PreconditionFailed => ExitCode.Conflict,
        _ => ExitCode.Failed,
    };
}
