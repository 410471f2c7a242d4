using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Tests.Submission;

/// <summary>The client's side of SCRAM-SHA-256, written from RFC 5802 §3 by itself.</summary>
internal sealed class ScramClient(string login, string password, string header = "n,,")
{
    private readonly string _bare = $"n={login.Replace("=", "=3D", StringComparison.Ordinal).Replace(",", "=2C", StringComparison.Ordinal)},r=fyko+d2lbbFgONRv9qkxdawL";
    private byte[] _serverSignature = [];

    /// <summary>Salt and iterations of the challenge.</summary>
    public string Shown { get; private set; } = "";

    /// <summary>Logs in; returns the last reply.</summary>
    public async Task<string> RunAsync(TestClient client, Func<Task<string>, Task<string>>? wait = null)
    {
        string challenge = Decode(await client.CommandAsync("AUTH SCRAM-SHA-256 " + Encode(header + _bare), "334 "));
        string reply = await (wait is null ? client.CommandAsync(Encode(Final(challenge))) : wait(client.CommandAsync(Encode(Final(challenge)))));
        if (!reply.StartsWith("334 ", StringComparison.Ordinal))
            return reply;
        Assert.Equal("v=" + Convert.ToBase64String(_serverSignature), Decode(reply));
        return await client.CommandAsync("");
    }

    public string First => Encode(header + _bare);

    public string Final(string challenge)
    {
        string[] parts = challenge.Split(',');
        Shown = string.Join(',', parts[1..]);
        byte[] salted = Rfc2898DeriveBytes.Pbkdf2(
            Encoding.UTF8.GetBytes(password), Convert.FromBase64String(parts[1][2..]), int.Parse(parts[2][2..], CultureInfo.InvariantCulture), HashAlgorithmName.SHA256, 32);
        byte[] clientKey = HMACSHA256.HashData(salted, "Client Key"u8);
        string withoutProof = $"c={Encode(header)},{parts[0]}";
        byte[] text = Encoding.UTF8.GetBytes($"{_bare},{challenge},{withoutProof}");
        byte[] signature = HMACSHA256.HashData(SHA256.HashData(clientKey), text);
        _serverSignature = HMACSHA256.HashData(HMACSHA256.HashData(salted, "Server Key"u8), text);
        return $"{withoutProof},p={Convert.ToBase64String([.. clientKey.Zip(signature, (a, b) => (byte)(a ^ b))])}";
    }

    public static string Encode(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    public static string Decode(string reply) => Encoding.UTF8.GetString(Convert.FromBase64String(reply[4..]));
}
