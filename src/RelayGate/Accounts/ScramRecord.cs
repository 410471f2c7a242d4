using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Accounts;

/// <summary>A stored password: the SCRAM-SHA-256 authentication record of RFC 5803 §2, from which no password can be read back.</summary>
/// <remarks>
/// <c>SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey</c>, each part base64. The password's UTF-8 octets are hashed as they came: no
/// SASLprep (RFC 4013), which changes nothing for ASCII.
/// </remarks>
public sealed record ScramRecord
{
    /// <summary>One count for all, so that unknown logins cost the same time as known ones.</summary>
    public const int DefaultIterations = 100_000;

    private const string Mechanism = "SCRAM-SHA-256";
    private const int SaltOctets = 16;
    private const int MaxIterations = 10_000_000;

    private readonly byte[] _salt;
    private readonly byte[] _storedKey;
    private readonly byte[] _serverKey;

    private ScramRecord(int iterations, byte[] salt, byte[] storedKey, byte[] serverKey)
    {
        Iterations = iterations;
        _salt = salt;
        _storedKey = storedKey;
        _serverKey = serverKey;
    }

    public int Iterations { get; }

    /// <summary>Makes the record of a password with a new random salt.</summary>
    public static ScramRecord Create(string password) => Create(password, RandomNumberGenerator.GetBytes(SaltOctets), DefaultIterations);

    /// <param name="salt">At least 8 octets.</param>
    /// <param name="iterations">At least 4096 (RFC 7677 §4).</param>
    public static ScramRecord Create(string password, byte[] salt, int iterations)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(salt.Length, 8);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 4096);
        byte[] salted = SaltedPassword(password, salt, iterations);
        byte[] clientKey = HMACSHA256.HashData(salted, "Client Key"u8);
        return new ScramRecord(iterations, salt, SHA256.HashData(clientKey), HMACSHA256.HashData(salted, "Server Key"u8));
    }

    public static bool TryParse(string text, [NotNullWhen(true)] out ScramRecord? record)
    {
        record = null;
        string[] parts = text.Split('$');
        if (parts.Length != 3 || parts[0] != Mechanism)
            return false;
        string[] info = parts[1].Split(':');
        string[] keys = parts[2].Split(':');
        if (info.Length != 2 || keys.Length != 2 || !int.TryParse(info[0], NumberStyles.None, CultureInfo.InvariantCulture, out int iterations)
            || iterations is < 4096 or > MaxIterations
            || !TryDecode(info[1], out byte[] salt) || !TryDecode(keys[0], out byte[] storedKey) || !TryDecode(keys[1], out byte[] serverKey)
            || storedKey.Length != SHA256.HashSizeInBytes || serverKey.Length != SHA256.HashSizeInBytes)
        {
            return false;
        }
        record = new ScramRecord(iterations, salt, storedKey, serverKey);
        return true;
    }

    /// <summary>Whether this is the record of <paramref name="password"/>. Costs the full hash: some 30 ms of one core.</summary>
    public bool Matches(string password)
    {
        byte[] clientKey = HMACSHA256.HashData(SaltedPassword(password, _salt, Iterations), "Client Key"u8);
        return CryptographicOperations.FixedTimeEquals(SHA256.HashData(clientKey), _storedKey);
    }

    public bool Equals(ScramRecord? other) => other is not null && other.ToString() == ToString();

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    /// <summary>The stored form.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Mechanism}${Iterations}:{Convert.ToBase64String(_salt)}${Convert.ToBase64String(_storedKey)}:{Convert.ToBase64String(_serverKey)}");

    private static byte[] SaltedPassword(string password, byte[] salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, iterations, HashAlgorithmName.SHA256, SHA256.HashSizeInBytes);

    private static bool TryDecode(string text, out byte[] octets)
    {
        octets = new byte[Base64.GetMaxDecodedFromUtf8Length(text.Length)];
        if (!Convert.TryFromBase64String(text, octets, out int length) || length == 0)
            return false;
        octets = octets[..length];
        return true;
    }
}
