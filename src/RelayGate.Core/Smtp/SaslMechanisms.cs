namespace RelayGate.Core.Smtp;

/// <summary>The mechanisms of AUTH that a client here speaks (RFC 4954).</summary>
[Flags]
public enum SaslMechanisms
{
    None = 0,

    /// <summary>RFC 4616.</summary>
    Plain = 1,

    /// <summary>Never standardised, and the only one of some servers.</summary>
    Login = 2,

    /// <summary>RFC 5802, RFC 7677: the password itself does not leave.</summary>
    ScramSha256 = 4,
}
