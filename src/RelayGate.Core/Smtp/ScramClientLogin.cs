using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Core.Smtp;

/// <summary>The client's side of one SCRAM-SHA-256 exchange (RFC 5802 §3, RFC 7677), without channel binding. Pure: the nonce is given.</summary>
/// <param name="nonce">Printable, without comma, never given twice.</param>
public sealed class ScramClientLogin(string user, string password, string nonce)
{
    /// <summary>Rounds that a server may ask of us: more would cost seconds.</summary>
    public const int MaxIterations = 1_000_000;

    private const int MinIterations = 4096; // RFC 7677 §4.
    private const string Header = "n,,"; // No channel binding, no other identity.

    private readonly string _bare = $"n={Prepared(user)?.Replace("=", "=3D", StringComparison.Ordinal).Replace(",", "=2C", StringComparison.Ordinal)},r={nonce}";
    private byte[]? _serverSignature;

    /// <summary>client-first-message.</summary>
    public string First => Header + _bare;

    /// <summary>client-final-message.</summary>
    /// <param name="challenge">server-first-message.</param>
    /// <returns>Null: the challenge is none, or not for us.</returns>
    public string? Final(string challenge)
    {
        string[] parts = challenge.Split(',');
        if (parts.Length < 3 || !parts[0].StartsWith("r=" + nonce, StringComparison.Ordinal) || parts[0].Length == nonce.Length + 2
            || !parts[1].StartsWith("s=", StringComparison.Ordinal) || !parts[2].StartsWith("i=", StringComparison.Ordinal)
            || !int.TryParse(parts[2].AsSpan(2), NumberStyles.None, CultureInfo.InvariantCulture, out int iterations) || iterations is < MinIterations or > MaxIterations
            || Salt(parts[1][2..]) is not { } salt || Prepared(password) is not { } prepared)
        {
            return null;
        }
        byte[] salted = Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(prepared), salt, iterations, HashAlgorithmName.SHA256, SHA256.HashSizeInBytes);
        byte[] clientKey = HMACSHA256.HashData(salted, "Client Key"u8);
        string withoutProof = $"c={Convert.ToBase64String(Encoding.UTF8.GetBytes(Header))},{parts[0]}";
        byte[] text = Encoding.UTF8.GetBytes($"{_bare},{challenge},{withoutProof}");
        byte[] proof = HMACSHA256.HashData(SHA256.HashData(clientKey), text);
        for (int i = 0; i < proof.Length; i++)
            proof[i] ^= clientKey[i];
        _serverSignature = HMACSHA256.HashData(HMACSHA256.HashData(salted, "Server Key"u8), text);
        return $"{withoutProof},p={Convert.ToBase64String(proof)}";
    }

    /// <summary>Whether a server-final-message proves that the server knows the password too.</summary>
    public bool IsProof(string message) =>
        _serverSignature is not null && message.StartsWith("v=", StringComparison.Ordinal) && Salt(message[2..]) is { } signature
        && CryptographicOperations.FixedTimeEquals(signature, _serverSignature);

    private static string? Prepared(string text) => SaslPrep.TryPrepare(text, out string? prepared) ? prepared : null;

    private static byte[]? Salt(string base64)
    {
        byte[] octets = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, octets, out int length) && length > 0 ? octets[..length] : null;
    }
}
