using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Telemetry;

namespace RelayGate.Tls;

/// <summary>The certificate of the listeners, from PEM files; looked at every minute and swapped when they change. A bad new one changes nothing.</summary>
public sealed class ServerCertificate : IDisposable
{
    /// <summary>Time before its end from which on a certificate is complained of.</summary>
    public static readonly TimeSpan WarnBefore = TimeSpan.FromDays(14);

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromDays(1);

    private readonly CertificateOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<ServerCertificate> _logger;
    private readonly ITimer? _timer;
    private volatile SslServerAuthenticationOptions? _current;
    private FileState _loaded;
    private DateTimeOffset _warnAgainAt;
    private DateTimeOffset _notAfter;

    /// <exception cref="CryptographicException">The files hold no usable pair.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public ServerCertificate(CertificateOptions options, TimeProvider time, ILogger<ServerCertificate> logger)
    {
        _options = options;
        _time = time;
        _logger = logger;
        if (options.Path is null)
            return;
        _loaded = ReadState();
        _current = Load();
        WarnOfExpiry();
        _timer = time.CreateTimer(static self => ((ServerCertificate)self!).Reload(), this, Interval, Interval);
    }

    /// <summary>Whether TLS can be offered.</summary>
    public bool IsAvailable => _current is not null;

    /// <summary>When the certificate in use expires; null without one.</summary>
    public DateTimeOffset? ExpiresAt => _current is null ? null : _notAfter;

    /// <summary>Options for one handshake: TLS 1.2 or later (RFC 8996), no client certificate.</summary>
    /// <exception cref="InvalidOperationException">No certificate is configured.</exception>
    public SslServerAuthenticationOptions ForHandshake() => _current ?? throw new InvalidOperationException("No certificate is configured");

    /// <summary>Looks at the files and takes them when they changed. Called by the timer.</summary>
    public void Reload()
    {
        try
        {
            FileState state = ReadState();
            if (state != _loaded)
            {
                _loaded = state; // A bad pair is reported once, not every minute.
                _current = Load();
                _warnAgainAt = default;
                Log.CertificateLoaded(_logger, _options.Path!, _notAfter);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            Log.CertificateNotLoaded(_logger, error, _options.Path!);
        }
        WarnOfExpiry();
    }

    public void Dispose() => _timer?.Dispose();

    private SslServerAuthenticationOptions Load()
    {
        string keyPath = _options.KeyPath ?? _options.Path!;
        X509Certificate2 leaf = X509Certificate2.CreateFromPemFile(_options.Path!, keyPath);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(_options.Path!);
        var context = SslStreamCertificateContext.Create(leaf, chain, offline: true);
        _notAfter = new DateTimeOffset(leaf.NotAfter.ToUniversalTime(), TimeSpan.Zero);
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = context,
            ClientCertificateRequired = false,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            EncryptionPolicy = EncryptionPolicy.RequireEncryption,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        };
    }

    private FileState ReadState()
    {
        var certificate = new FileInfo(_options.Path!);
        var key = new FileInfo(_options.KeyPath ?? _options.Path!);
        if (!certificate.Exists)
            throw new FileNotFoundException($"there is no file {certificate.FullName}", certificate.FullName);
        if (!key.Exists)
            throw new FileNotFoundException($"there is no file {key.FullName}", key.FullName);
        return new FileState(certificate.LastWriteTimeUtc, certificate.Length, key.LastWriteTimeUtc, key.Length);
    }

    private void WarnOfExpiry()
    {
        DateTimeOffset now = _time.GetUtcNow();
        if (_current is null || _notAfter - now > WarnBefore || now < _warnAgainAt)
            return;
        _warnAgainAt = now + WarnEvery;
        if (_notAfter <= now)
            Log.CertificateExpired(_logger, _options.Path!, _notAfter);
        else
            Log.CertificateExpires(_logger, _options.Path!, _notAfter);
    }

    private readonly record struct FileState(DateTime Certificate, long CertificateOctets, DateTime Key, long KeyOctets);
}
