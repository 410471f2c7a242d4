using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>TLS with a next hop, under the policy of its address.</summary>
internal sealed partial class SmtpClientSession
{
    /// <summary>RFC 3463 and its registry: cryptographic failure. For now, because certificates and records are mended.</summary>
    private const string CryptographicFailure = "4.7.5";

    private (TlsResult Result, string? Reason) _certificate;

    private async Task StartTlsAsync()
    {
        TlsPolicy policy = NextHop.Tls;
        string name = policy.Names.IsEmpty ? NextHop.Host : policy.Names[0]; // With DANE the base domain of the records (RFC 7672 §8.1).
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = name.StartsWith('[') ? "" : name, // A literal is no server name (RFC 6066 §3).
            EnabledSslProtocols = policy.Minimum == TlsVersion.Tls13 ? SslProtocols.Tls13 : SslProtocols.Tls12 | SslProtocols.Tls13,
            CertificateChainPolicy = _authorities.NewPolicy(),
            RemoteCertificateValidationCallback = (_, certificate, chain, _) =>
            {
                // Where nothing is demanded, an unverified certificate still protects against listening, which plain text does not (RFC 7435 §1.2).
                _certificate = PeerCertificate.Check(policy, certificate as X509Certificate2, chain);
                return _certificate.Result == TlsResult.Ok || !policy.IsEnforced;
            },
        };
        await _transport.StartTlsAsync(options);
        SslStream tls = _transport.Tls!;
        Tls = new TlsOutcome(policy.Mode, _certificate.Result)
        {
            Version = tls.SslProtocol == SslProtocols.Tls13 ? "TLS 1.3" : "TLS 1.2",
            Cipher = tls.NegotiatedCipherSuite.ToString(),
            Reason = _certificate.Reason is { } reason ? $"{NextHop.Host} {reason}" : null,
        };
    }

    /// <returns>Null: the policy allows plain text.</returns>
    private SessionFailure? WithoutTls(bool allowTls)
    {
        TlsPolicy policy = NextHop.Tls;
        if (policy.Mode == TlsMode.None)
        {
            Tls = new TlsOutcome(TlsMode.None, TlsResult.Ok);
            return null;
        }
        string reason = !allowTls ? "The TLS handshake failed on the connection before" : Keywords.StartTls ? $"{NextHop.Host} refused STARTTLS" : $"{NextHop.Host} does not offer STARTTLS";
        Tls = new TlsOutcome(policy.Mode, allowTls ? TlsResult.StartTlsNotSupported : TlsResult.ValidationFailure) { Reason = reason };
        return policy.NeedsTls ? Unprotected(reason) : null;
    }

    private SessionFailure TlsFailed(Exception e)
    {
        TlsPolicy policy = NextHop.Tls;
        if (_certificate.Result != TlsResult.Ok && policy.IsEnforced)
        {
            string reason = $"{NextHop.Host} {_certificate.Reason}";
            Tls = new TlsOutcome(policy.Mode, _certificate.Result) { Reason = reason };
            return Unprotected(reason);
        }
        Tls = new TlsOutcome(policy.Mode, TlsResult.ValidationFailure) { Reason = HasExpired ? "The TLS handshake took too long" : "The TLS handshake failed" };
        TlsHandshakeFailed = !policy.NeedsTls && !NextHop.IsImplicitTls;
        return new SessionFailure(DeliveryStage.StartTls, Lost(DeliveryStage.StartTls, e));
    }

    private SessionFailure Unprotected(string reason)
    {
        IsReusable = false;
        return new SessionFailure(DeliveryStage.StartTls, RecipientOutcome.Local(OutcomeKind.NextHost, CryptographicFailure, $"{reason}, and its policy ({NextHop.Tls.Mode.Word()}) demands it: {NextHop}"));
    }
}
