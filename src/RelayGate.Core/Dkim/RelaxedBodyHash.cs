using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace RelayGate.Core.Dkim;

/// <summary>SHA-256 of a body in relaxed canonical form (RFC 6376 §3.4.4), fed piece by piece.</summary>
/// <remarks>
/// Blanks at line ends and empty lines at the end do not count, runs of blanks count as one space, and a body that is not empty ends with CRLF.
/// Most mail is canonical already, so stretches of it are found by vector comparison and hashed as they are; only where something is to
/// change is it taken octet by octet.
/// </remarks>
public sealed class RelaxedBodyHash : IDisposable
{
    private const int BufferOctets = 16 * 1024;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferOctets);
    private int _buffered;
    private IncrementalHash? _hash; // Not needed for what fits into the buffer.

    private long _pendingLineEnds; // CRLFs held back: they count only if a line with text follows.
    private bool _pendingBlank;
    private bool _pendingReturn;
    private bool _lineHasText;
    private bool _hasText;

    public void Append(ReadOnlySpan<byte> octets)
    {
        while (!octets.IsEmpty)
        {
            if (!_pendingBlank && !_pendingReturn)
            {
                int clean = CleanLength(octets);
                if (clean > 0)
                {
                    AppendClean(octets[..clean]);
                    octets = octets[clean..];
                    if (octets.IsEmpty)
                        return;
                }
            }
            AppendOctet(octets[0]);
            octets = octets[1..];
        }
    }

    /// <summary>Ends the body and returns its hash; nothing may follow.</summary>
    public byte[] Finish()
    {
        if (_pendingReturn)
            AppendText((byte)'\r');
        if (_lineHasText || (_hasText && _pendingLineEnds > 0))
            Write("\r\n"u8);
        if (_hash is null)
            return SHA256.HashData(_buffer.AsSpan(0, _buffered));
        Flush();
        return _hash.GetHashAndReset();
    }

    /// <summary>The hash of a whole body.</summary>
    public static byte[] Of(ReadOnlySpan<byte> body)
    {
        using var hash = new RelaxedBodyHash();
        hash.Append(body);
        return hash.Finish();
    }

    public void Dispose()
    {
        _hash?.Dispose();
        _hash = null;
        if (_buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    /// <summary>Takes a stretch in which nothing but CRLFs at its end may have to be held back.</summary>
    private void AppendClean(ReadOnlySpan<byte> octets)
    {
        int textStart = 0;
        if (!_lineHasText)
        {
            // Line ends before the first text join those held back.
            while (octets[textStart..].StartsWith("\r\n"u8))
                textStart += 2;
            _pendingLineEnds += textStart / 2;
        }
        int textEnd = octets.Length;
        while (textEnd - textStart >= 2 && octets[textEnd - 2] == '\r' && octets[textEnd - 1] == '\n')
            textEnd -= 2;
        if (textStart == textEnd)
        {
            EndLines((octets.Length - textEnd) / 2);
            return;
        }
        WritePendingLineEnds();
        Write(octets[textStart..textEnd]);
        _hasText = true;
        _lineHasText = true;
        EndLines((octets.Length - textEnd) / 2);
    }

    private void EndLines(int count)
    {
        if (count == 0)
            return;
        _pendingLineEnds += count;
        _lineHasText = false;
    }

    private void AppendOctet(byte octet)
    {
        if (_pendingReturn)
        {
            _pendingReturn = false;
            if (octet == '\n')
            {
                _pendingBlank = false; // Blanks at the end of a line do not count.
                EndLines(1);
                return;
            }
            AppendText((byte)'\r'); // A bare CR is text.
        }
        switch (octet)
        {
            case (byte)'\r':
                _pendingReturn = true;
                break;
            case (byte)' ' or (byte)'\t':
                _pendingBlank = true;
                break;
            default:
                AppendText(octet);
                break;
        }
    }

    private void AppendText(byte octet)
    {
        WritePendingLineEnds();
        if (_pendingBlank)
        {
            Write(" "u8);
            _pendingBlank = false;
        }
        Write([octet]);
        _hasText = true;
        _lineHasText = true;
    }

    private void WritePendingLineEnds()
    {
        for (; _pendingLineEnds > 0; _pendingLineEnds--)
            Write("\r\n"u8);
    }

    private void Write(ReadOnlySpan<byte> octets)
    {
        if (octets.Length <= _buffer.Length - _buffered)
        {
            octets.CopyTo(_buffer.AsSpan(_buffered));
            _buffered += octets.Length;
            return;
        }
        Flush();
        if (octets.Length >= _buffer.Length)
        {
            _hash!.AppendData(octets);
            return;
        }
        octets.CopyTo(_buffer);
        _buffered = octets.Length;
    }

    private void Flush()
    {
        _hash ??= IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        _hash.AppendData(_buffer, 0, _buffered);
        _buffered = 0;
    }

    /// <summary>
    /// Octets at the start in which no blank is to change: no tab, and no space before a space, a CR or the end; and that end after text or CRLF.
    /// </summary>
    private static int CleanLength(ReadOnlySpan<byte> octets)
    {
        int length = FirstSuspect(octets);
        // A bare CR or LF goes the slow way too, so that "CR" at the end of the stretch is never cut from its LF.
        if (length > 0 && octets[length - 1] == '\r')
            length--;
        return length;
    }

    /// <summary>Position of the first tab, or space with a blank, CR or nothing after it; the length if there is none.</summary>
    private static int FirstSuspect(ReadOnlySpan<byte> octets)
    {
        int position = 0;
        if (Vector.IsHardwareAccelerated && octets.Length > Vector<byte>.Count)
        {
            var tab = new Vector<byte>((byte)'\t');
            var space = new Vector<byte>((byte)' ');
            var carriageReturn = new Vector<byte>((byte)'\r');
            ref byte start = ref MemoryMarshal.GetReference(octets);
            for (; position < octets.Length - Vector<byte>.Count; position += Vector<byte>.Count)
            {
                Vector<byte> here = Vector.LoadUnsafe(ref start, (nuint)position);
                Vector<byte> next = Vector.LoadUnsafe(ref start, (nuint)position + 1);
                Vector<byte> blankEnds = Vector.Equals(here, space) & (Vector.Equals(next, space) | Vector.Equals(next, carriageReturn));
                if ((Vector.Equals(here, tab) | Vector.Equals(next, tab) | blankEnds) != Vector<byte>.Zero)
                    break;
            }
        }
        for (; position < octets.Length; position++)
        {
            byte octet = octets[position];
            if (octet == '\t')
                return position;
            if (octet == ' ' && (position + 1 == octets.Length || octets[position + 1] is (byte)' ' or (byte)'\t' or (byte)'\r'))
                return position;
        }
        return octets.Length;
    }
}
