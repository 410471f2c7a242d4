using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using RelayGate.Configuration;
using RelayGate.Core.Smtp;
using RelayGate.Telemetry;
using RelayGate.Tls;

namespace RelayGate.Submission;

/// <content>STARTTLS and implicit TLS.</content>
internal sealed partial class SmtpSession
{
    private const int TlsBuffer = 16 * 1024; // One TLS record.

    private PipeReader? _tlsInput;

    private bool OffersStartTls => _client.Tls == ListenerTls.StartTls && _tls is null && _service.Certificate.IsAvailable;

    private string? TlsVersion => _tls?.SslProtocol switch
    {
        null => null,
        SslProtocols.Tls13 => "TLS 1.3",
        _ => "TLS 1.2",
    };

    private string? TlsCipher => _tls?.NegotiatedCipherSuite.ToString();

    /// <summary>RFC 3207: everything said before is forgotten, and so is what came in the same packet.</summary>
    private async ValueTask StartTlsAsync()
    {
        if (_client.Tls != ListenerTls.StartTls || _tls is not null)
        {
            await BadAsync(_tls is not null ? Replies.TlsActive : Replies.NoTls);
            return;
        }
        if (!_service.Certificate.IsAvailable)
        {
            _channel.Write(Replies.TlsUnavailable);
            return;
        }
        _channel.DropBuffered();
        _channel.Write(Replies.StartTls);
        await _channel.LastFlushAsync();
        EndTransaction();
        _phase = SessionPhase.Connected;
        _heloName = "";
        _isEsmtp = false;
        _login = null;
        _source = null;
        _open = await BeginTlsAsync();
    }

    private async ValueTask<bool> BeginTlsAsync()
    {
        if (!_service.Certificate.IsAvailable) // Implicit TLS without a certificate: nothing could be said in any language.
            return false;
        var stream = new SslStream(new DuplexPipeStream(_connection.Transport.Input, _connection.Transport.Output), leaveInnerStreamOpen: true);
        using var timeout = new CancellationTokenSource(SubmissionLimits.TlsHandshake, _service.Time);
        try
        {
            await stream.AuthenticateAsServerAsync(_service.Certificate.ForHandshake(), timeout.Token);
        }
        catch (Exception error) when (error is AuthenticationException or IOException or OperationCanceledException)
        {
            Log.HandshakeFailed(_service.Logger, _client.Listener, _client.Address, timeout.IsCancellationRequested ? "time limit" : error.Message);
            await stream.DisposeAsync();
            return false;
        }
        _tls = stream;
        _tlsInput = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: TlsBuffer, minimumReadSize: 1024, leaveOpen: true, useZeroByteReads: true));
        _channel.Replace(_tlsInput, PipeWriter.Create(stream, new StreamPipeWriterOptions(leaveOpen: true)));
        return true;
    }

    /// <summary>Says goodbye in TLS too, so that the client can tell the end from a cut.</summary>
    private async ValueTask CloseTlsAsync()
    {
        if (_tls is not null && !_channel.TimedOut)
            await _tls.ShutdownAsync();
    }
}
