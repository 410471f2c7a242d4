namespace RelayGate.Accounts;

/// <summary>What has failed too often.</summary>
public enum GuessedObject
{
    /// <summary>A client's address.</summary>
    Address,

    /// <summary>A login, from whatever addresses.</summary>
    Login,
}

/// <summary>Passwords are being guessed: so many logins have failed that more are refused for a time.</summary>
/// <param name="Name">An IP address (an IPv6 network of /64), or a login in its stored form; "" for logins that do not exist.</param>
/// <param name="Since">When the first of the failures was.</param>
public sealed record GuessingDetected(GuessedObject Object, string Name, int Failures, DateTimeOffset Since);
