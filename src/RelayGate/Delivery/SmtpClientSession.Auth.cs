using System.Net;
using System.Security.Cryptography;
using System.Text;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Delivery;

/// <summary>The login at a smarthost (RFC 4954).</summary>
internal sealed partial class SmtpClientSession
{
    private const int NonceOctets = 18;
    private const int Challenge = 334;
    private const int LoggedIn = 235;

    /// <summary>Logs in, by the best mechanism that is offered. Over TLS, or to loopback.</summary>
    /// <returns>Null: logged in.</returns>
    private async ValueTask<SessionFailure?> LogInAsync(SmarthostLogin login)
    {
        if (_transport.Tls is null && !IPAddress.IsLoopback(NextHop.EndPoint.Address))
            return NotLoggedIn("4.7.11", $"The login {login.User} goes over TLS alone, and {NextHop} has none");
        int code;
        if (Keywords.Auth.HasFlag(SaslMechanisms.ScramSha256))
        {
            var scram = new ScramClientLogin(login.User, login.Password, Convert.ToBase64String(RandomNumberGenerator.GetBytes(NonceOctets)));
            code = await SayAsync($"AUTH SCRAM-SHA-256 {Encode(scram.First)}");
            if (code == Challenge)
            {
                if (scram.Final(Decode()) is not { } final)
                    return NotLoggedIn("4.7.0", $"{NextHop} does not speak SCRAM-SHA-256 as it should");
                code = await SayAsync(Encode(final));
                if (code is Challenge or LoggedIn && !(code == Challenge && scram.IsProof(Decode())))
                    return NotLoggedIn("4.7.0", $"{NextHop} did not prove that it knows the password of {login.User}");
                if (code == Challenge)
                    code = await SayAsync("");
            }
        }
        else if (Keywords.Auth.HasFlag(SaslMechanisms.Plain))
        {
            code = await SayAsync($"AUTH PLAIN {Encode($"\0{login.User}\0{login.Password}")}");
        }
        else if (Keywords.Auth.HasFlag(SaslMechanisms.Login))
        {
            code = await SayAsync("AUTH LOGIN");
            if (code == Challenge)
                code = await SayAsync(Encode(login.User));
            if (code == Challenge)
                code = await SayAsync(Encode(login.Password));
        }
        else
        {
            return NotLoggedIn("4.7.4", $"{NextHop} offers none of SCRAM-SHA-256, PLAIN and LOGIN to log in as {login.User}");
        }
        if (code == LoggedIn)
            return null;
        if (code is >= 400 and < 500) // 454: for now (RFC 4954 §6).
            return new SessionFailure(DeliveryStage.Auth, OutcomeOfReply(DeliveryStage.Auth));
        return NotLoggedIn("4.7.8", $"{NextHop} refused the login {login.User}: {RemoteReply.Cut(RemoteReply.Read(_transport.Reply))}");
    }

    /// <summary>Our own misconfiguration: mail waits for its repair, and never bounces.</summary>
    private static SessionFailure NotLoggedIn(string status, string text) =>
        new(DeliveryStage.Auth, RecipientOutcome.Local(OutcomeKind.NextHost, status, text)) { IsLoginAtFault = true };

    private async ValueTask<int> SayAsync(string line)
    {
        AppendArgument(line);
        _transport.Append("\r\n"u8);
        return await ExchangeAsync();
    }

    private static string Encode(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    /// <summary>What stands in a 334 reply; "" where it is no base64.</summary>
    private string Decode()
    {
        string text = Encoding.ASCII.GetString(_transport.Reply).TrimEnd();
        byte[] octets = new byte[text.Length];
        return text.Length > 4 && Convert.TryFromBase64String(text[4..], octets, out int length) ? Encoding.UTF8.GetString(octets, 0, length) : "";
    }
}
