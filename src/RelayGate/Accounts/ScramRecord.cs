using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using RelayGate.Core.Smtp;

namespace RelayGate.Accounts;

/// <summary>A stored password: the SCRAM-SHA-256 authentication record of RFC 5803 §2, from which no password can be read back.</summary>
/// <remarks>
/// <c>SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey</c>, each part base64. The password goes through <see cref="SaslPrep"/> first.
/// </remarks>
public sealed record ScramRecord
{
    /// <summary>One count for all, so that unknown logins cost the same time as known ones.</summary>
    public const int DefaultIterations = 100_000;

    /// <summary>RFC 7677 §4.</summary>
    public const int LeastIterations = 4096;

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

    public ReadOnlySpan<byte> Salt => _salt;

    /// <summary>Makes the record of a password with a new random salt.</summary>
    public static ScramRecord Create(string password) => Create(password, RandomNumberGenerator.GetBytes(SaltOctets), DefaultIterations);

    /// <param name="salt">At least 8 octets.</param>
    /// <param name="iterations">At least <see cref="LeastIterations"/>.</param>
    public static ScramRecord Create(string password, byte[] salt, int iterations)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(salt.Length, 8);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, LeastIterations);
        byte[] salted = SaltedPassword(password, salt, iterations);
        byte[] clientKey = HMACSHA256.HashData(salted, "Client Key"u8);
        return new ScramRecord(iterations, salt, SHA256.HashData(clientKey), HMACSHA256.HashData(salted, "Server Key"u8));
    }

    /// <summary>The record of a text; null for none and for what is no record.</summary>
    public static ScramRecord? Read(string? text) => TryParse(text ?? "", out ScramRecord? record) ? record : null;

    public static bool TryParse(string text, [NotNullWhen(true)] out ScramRecord? record)
    {
        record = null;
        string[] parts = text.Split('$');
        if (parts.Length != 3 || parts[0] != Mechanism)
            return false;
        string[] info = parts[1].Split(':');
        string[] keys = parts[2].Split(':');
        if (info.Length != 2 || keys.Length != 2 || !int.TryParse(info[0], NumberStyles.None, CultureInfo.InvariantCulture, out int iterations)
            || iterations is < LeastIterations or > MaxIterations
            || !TryDecode(info[1], out byte[] salt) || !TryDecode(keys[0], out byte[] storedKey) || !TryDecode(keys[1], out byte[] serverKey)
            || storedKey.Length != SHA256.HashSizeInBytes || serverKey.Length != SHA256.HashSizeInBytes)
        {
            return false;
        }
        record = new ScramRecord(iterations, salt, storedKey, serverKey);
        return true;
    }

    /// <summary>Whether this is the record of <paramref name="password"/>. Costs the full hash: some 30 ms of one core.</summary>
    public bool Matches(string password) => Matches(password, null, out _);

    /// <summary>Whether this or <paramref name="previous"/> is the record of <paramref name="password"/>: one hash for both, which have the same salt.</summary>
    public bool Matches(string password, ScramRecord? previous, out bool isPrevious)
    {
        byte[] clientKey = HMACSHA256.HashData(SaltedPassword(password, _salt, Iterations), "Client Key"u8);
        return IsClientKey(clientKey, previous, out isPrevious);
    }

    /// <summary>Whether this is the proof of who knows the password of this record or of <paramref name="previous"/> (RFC 5802 §3).</summary>
    /// <param name="proof">ClientProof; 32 octets, else it proves nothing.</param>
    public bool IsProof(ReadOnlySpan<byte> authMessage, ReadOnlySpan<byte> proof, ScramRecord? previous, out bool isPrevious)
    {
        bool matches = IsClientKey(ClientKey(_storedKey, authMessage, proof), null, out _);
        isPrevious = !matches && previous is not null && previous.IsClientKey(ClientKey(previous._storedKey, authMessage, proof), null, out _);
        return matches || isPrevious;
    }

    /// <summary>ServerSignature: shows the client that we know the record.</summary>
    public byte[] Sign(ReadOnlySpan<byte> authMessage) => HMACSHA256.HashData(_serverKey, authMessage);

    /// <summary>The same keys with another salt and the usual iterations: what a login that does not exist is shown.</summary>
    public ScramRecord Shown(byte[] salt) => new(DefaultIterations, salt, _storedKey, _serverKey);

    public bool Equals(ScramRecord? other) => other is not null && other.ToString() == ToString();

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    /// <summary>The stored form.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Mechanism}${Iterations}:{Convert.ToBase64String(_salt)}${Convert.ToBase64String(_storedKey)}:{Convert.ToBase64String(_serverKey)}");

    private bool IsClientKey(byte[] clientKey, ScramRecord? previous, out bool isPrevious)
    {
        byte[] storedKey = SHA256.HashData(clientKey);
        isPrevious = previous is not null && CryptographicOperations.FixedTimeEquals(storedKey, previous._storedKey);
        return CryptographicOperations.FixedTimeEquals(storedKey, _storedKey) || isPrevious;
    }

    private static byte[] ClientKey(byte[] storedKey, ReadOnlySpan<byte> authMessage, ReadOnlySpan<byte> proof)
    {
        byte[] key = HMACSHA256.HashData(storedKey, authMessage);
        if (proof.Length != key.Length)
            return [];
        for (int i = 0; i < key.Length; i++)
            key[i] ^= proof[i];
        return key;
    }

    /// <summary>A password that SASLprep forbids is nobody's: none was stored with it.</summary>
    private static byte[] SaltedPassword(string password, byte[] salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(SaslPrep.TryPrepare(password, out string? prepared) ? prepared : password), salt, iterations, HashAlgorithmName.SHA256, SHA256.HashSizeInBytes);

    private static bool TryDecode(string text, out byte[] octets)
    {
        octets = new byte[Base64.GetMaxDecodedFromUtf8Length(text.Length)];
        if (!Convert.TryFromBase64String(text, octets, out int length) || length == 0)
            return false;
        octets = octets[..length];
        return true;
    }
}
