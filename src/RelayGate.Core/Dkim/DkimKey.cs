using System.Security.Cryptography;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Dkim;

/// <summary>A DKIM key pair of one domain, parsed once and used for every signature (RFC 6376 §3.3, §3.6.1).</summary>
/// <param name="Domain">The signing domain, d=.</param>
/// <param name="Selector">s=.</param>
/// <param name="Rsa">RSA-2048 or larger (RFC 8301 §3.2); signing with one instance from several threads at once is safe with OpenSSL.</param>
public sealed record DkimKey(Domain Domain, string Selector, RSA Rsa);
