using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Accounts;

/// <summary>The server's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), without channel binding: first message, challenge, proof.</summary>
/// <remarks>
/// No server-error is ever told (RFC 5802 §7 leaves that free): a failed exchange ends as one with a wrong password does in PLAIN.
/// </remarks>
internal sealed class ScramExchange
{
    public const string Mechanism = "SCRAM-SHA-256";

    /// <summary>Characters of a client's nonce, at most; its messages are bounded by the line.</summary>
    public const int MaxNonce = 512;

    private const int NonceOctets = 18;

    private readonly string _header;
    private readonly string _first;
    private readonly string _clientNonce;
    private string _challenge = "";
    private string _nonce = "";
    private ScramLogin? _login;

    private ScramExchange(string header, string first, string login, string clientNonce)
    {
        _header = header;
        _first = first;
        _clientNonce = clientNonce;
        Login = login;
    }

    /// <summary>The user name, decoded.</summary>
    public string Login { get; }

    /// <summary>Reads a client-first-message. Null: malformed, or it asks for what is not offered (channel binding, an extension, another's name).</summary>
    public static ScramExchange? Begin(string message)
    {
        // gs2-header: "n" (no binding) or "y" (the client could, and believes that we cannot, which is so); "p" needs a mechanism that is not offered.
        string[] parts = message.Split(',', 3);
        if (parts.Length != 3 || parts[0] is not ("n" or "y") || !TryReadName(parts[1], "a=", out string? authorization))
            return null;
        string[] bare = parts[2].Split(',');
        if (bare.Length < 2 || !TryReadName(bare[0], "n=", out string? login) || login is null || !bare[1].StartsWith("r=", StringComparison.Ordinal))
            return null;
        string nonce = bare[1][2..];
        bool isNonce = nonce.Length is > 0 and <= MaxNonce && nonce.All(static c => c is > ' ' and <= '~'); // Without commas, at which it was cut.
        return isNonce && (authorization is null || authorization == login) ? new ScramExchange($"{parts[0]},{parts[1]},", parts[2], login, nonce) : null;
    }

    /// <summary>The server-first-message.</summary>
    public string Challenge(ScramLogin login) => Challenge(login, Convert.ToBase64String(RandomNumberGenerator.GetBytes(NonceOctets)));

    internal string Challenge(ScramLogin login, string serverNonce)
    {
        _login = login;
        _nonce = _clientNonce + serverNonce;
        return _challenge = $"r={_nonce},s={Convert.ToBase64String(login.Record.Salt)},i={login.Record.Iterations}";
    }

    /// <summary>Checks a client-final-message.</summary>
    /// <param name="signature">The server-final-message when the proof is right.</param>
    /// <returns>Null: malformed.</returns>
    public PasswordCheck? Finish(string message, out string signature)
    {
        signature = "";
        string[] parts = message.Split(',');
        int proofAt = message.LastIndexOf(",p=", StringComparison.Ordinal);
        if (_login is null || parts.Length < 3 || !parts[0].StartsWith("c=", StringComparison.Ordinal) || !parts[1].StartsWith("r=", StringComparison.Ordinal)
            || proofAt < 0 || !parts[^1].StartsWith("p=", StringComparison.Ordinal) || !TryDecode(parts[^1][2..], out byte[] proof) || !TryDecode(parts[0][2..], out byte[] binding))
        {
            return null;
        }
        byte[] text = Encoding.UTF8.GetBytes($"{_first},{_challenge},{message[..proofAt]}");
        bool isProof = _login.Record.IsProof(text, proof, _login.Previous, out bool isPrevious) & _login.Known.Password is not null;
        bool isBound = Encoding.UTF8.GetString(binding) == _header & parts[1][2..] == _nonce;
        if (!isProof || !isBound)
            return new PasswordCheck(AuthenticationOutcome.Rejected);
        signature = "v=" + Convert.ToBase64String((isPrevious ? _login.Previous! : _login.Record).Sign(text));
        return new PasswordCheck(AuthenticationOutcome.Accepted, isPrevious);
    }

    /// <summary>Reads <c>a=</c> or <c>n=</c> with a saslname, in which comma and equals sign are written =2C and =3D. Nothing at all is no name.</summary>
    private static bool TryReadName(string text, string prefix, out string? name)
    {
        name = null;
        if (text.Length == 0)
            return true;
        if (!text.StartsWith(prefix, StringComparison.Ordinal) || text.Length == prefix.Length || text.Contains('\0'))
            return false;
        string rest = text[prefix.Length..];
        for (int at = rest.IndexOf('='); at >= 0; at = rest.IndexOf('=', at + 1))
        {
            if (!rest.AsSpan(at).StartsWith("=2C") && !rest.AsSpan(at).StartsWith("=3D"))
                return false;
        }
        name = rest.Replace("=2C", ",", StringComparison.Ordinal).Replace("=3D", "=", StringComparison.Ordinal);
        return true;
    }

    private static bool TryDecode(string base64, out byte[] octets)
    {
        octets = new byte[Base64.GetMaxDecodedFromUtf8Length(base64.Length)];
        if (base64.AsSpan().ContainsAny(" \t\r\n") || !Convert.TryFromBase64String(base64, octets, out int length))
            return false;
        octets = octets[..length];
        return true;
    }
}
