using System.Text;

namespace RelayGate.Sendmail;

/// <summary>The message on standard input, every line ended by CRLF.</summary>
/// <remarks>
/// LF, CRLF and CR each end a line, also mixed; CRs before a CRLF are part of it, because programs that make LF into CRLF do it to CRLF too
/// (php-src#8086). Nothing else changes.
/// </remarks>
internal sealed class InputMessage : IDisposable
{
    /// <summary>Largest message, in octets; the gateway's own limit is usually lower.</summary>
    public const int MaxOctets = 64 * 1024 * 1024;

    /// <summary>How much is kept in memory; the header section has to fit into it. The rest waits in a nameless file, because programs run us
    /// under limits of address space that leave little beside the runtime.</summary>
    public const int MaxOctetsInMemory = 1024 * 1024;

    private const int ReadOctets = 64 * 1024;

    private readonly bool _ignoresDots;
    private byte[] _start = new byte[ReadOctets];
    private int _startLength;
    private FileStream? _rest;
    private long _total;
    private int _returns; // CRs seen, not yet known whether an LF follows.
    private bool _isLineEmpty = true;
    private bool _holdsDot; // A dot at the start of a line, not yet known whether the line ends there.
    private bool _hasEnded; // By a lone dot.

    private InputMessage(bool ignoresDots) => _ignoresDots = ignoresDots;

    /// <summary>The beginning, or all of it.</summary>
    public ReadOnlyMemory<byte> Start => _start.AsMemory(0, _startLength);

    /// <summary>What follows <see cref="Start"/>; null when nothing does.</summary>
    public Stream? Rest => _rest;

    public bool Is8Bit { get; private set; }

    public bool HasNul { get; private set; }

    public bool IsTooLarge => _total > MaxOctets;

    /// <summary>Reads to the end, or to a line with only a dot. What cannot be used is read as well, so that the writer is not killed by SIGPIPE.</summary>
    /// <exception cref="IOException">Standard input failed.</exception>
    /// <exception cref="SendmailException">There is no room for the message.</exception>
    public static InputMessage Read(Stream input, bool ignoresDots)
    {
        var message = new InputMessage(ignoresDots);
        byte[] piece = new byte[ReadOctets];
        while (!message._hasEnded)
        {
            int read = input.Read(piece, 0, piece.Length);
            if (read == 0)
                break;
            try
            {
                message.Append(piece.AsSpan(0, read));
            }
            catch (SendmailException)
            {
                input.CopyTo(Stream.Null);
                throw;
            }
        }
        message.Finish();
        return message;
    }

    public void Dispose() => _rest?.Dispose();

    private void Append(ReadOnlySpan<byte> piece)
    {
        HasNul |= piece.Contains((byte)0);
        if (HasNul || IsTooLarge)
            return; // Only read to its end.
        while (!piece.IsEmpty && !_hasEnded)
        {
            if (piece[0] == '\r')
            {
                int returns = piece.IndexOfAnyExcept((byte)'\r');
                returns = returns < 0 ? piece.Length : returns;
                _returns += returns;
                piece = piece[returns..];
                continue;
            }
            if (_returns > 0)
            {
                bool isLineFeed = piece[0] == '\n';
                EndReturns(isLineFeed);
                piece = isLineFeed ? piece[1..] : piece;
                continue;
            }
            int end = piece.IndexOfAny((byte)'\r', (byte)'\n');
            WriteText(end < 0 ? piece : piece[..end]);
            if (end < 0)
                return;
            if (piece[end] == '\n')
            {
                EndLine();
                end++;
            }
            piece = piece[end..];
        }
    }

    private void Finish()
    {
        EndReturns(lineFeedFollows: false);
        if (!_isLineEmpty)
            EndLine();
        Keep([]);
    }

    private void EndReturns(bool lineFeedFollows)
    {
        int lines = lineFeedFollows ? 1 : _returns;
        _returns = 0;
        for (; lines > 0 && !_hasEnded; lines--)
            EndLine();
    }

    private void EndLine()
    {
        if (_holdsDot)
        {
            _hasEnded = true;
            _isLineEmpty = true;
            return;
        }
        Write("\r\n"u8);
        _isLineEmpty = true;
    }

    private void WriteText(ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty)
            return;
        if (_holdsDot)
        {
            _holdsDot = false;
            Write("."u8);
        }
        else if (!_ignoresDots && _isLineEmpty && text.Length == 1 && text[0] == '.')
        {
            _holdsDot = true;
            _isLineEmpty = false;
            return;
        }
        _isLineEmpty = false;
        Write(text);
    }

    private void Write(ReadOnlySpan<byte> octets)
    {
        _total += octets.Length;
        if (IsTooLarge)
            return;
        Is8Bit = Is8Bit || !Ascii.IsValid(octets);
        if (_rest is null)
        {
            int needed = Math.Min(MaxOctetsInMemory, _startLength + octets.Length);
            if (needed > _start.Length)
                Array.Resize(ref _start, Math.Min(MaxOctetsInMemory, Math.Max(needed, _start.Length * 4)));
            int length = Math.Min(octets.Length, _start.Length - _startLength);
            octets[..length].CopyTo(_start.AsSpan(_startLength));
            _startLength += length;
            octets = octets[length..];
            if (octets.IsEmpty)
                return;
        }
        Keep(octets);
    }

    /// <param name="octets">None: the end, when a full disk shows itself as well.</param>
    private void Keep(ReadOnlySpan<byte> octets)
    {
        try
        {
            if (octets.IsEmpty)
            {
                _rest?.Flush();
                return;
            }
            _rest ??= OpenNamelessFile();
            _rest.Write(octets);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SendmailException(ExitCode.TemporaryFailure, $"cannot keep the message in {Path.GetTempPath()}: {e.Message}; set TMPDIR to a folder with room");
        }
    }

    private static FileStream OpenNamelessFile()
    {
        string path = Path.Combine(Path.GetTempPath(), $"relaygate-sendmail-{Guid.NewGuid():N}");
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            BufferSize = ReadOctets,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        File.Delete(path);
        return file;
    }
}
