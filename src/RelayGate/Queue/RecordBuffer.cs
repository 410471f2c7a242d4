using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace RelayGate.Queue;

/// <summary>A reusable buffer with a JSON writer over it, for the detail of records.</summary>
[SuppressMessage("Design", "CA1001", Justification = "The JSON writer holds nothing but managed memory of this object's own buffer.")]
internal sealed class RecordBuffer
{
    private const int InitialOctets = 1024;
    private const int MaxKeptOctets = 64 * 1024;

    private readonly ArrayBufferWriter<byte> _octets = new(InitialOctets);
    private readonly Utf8JsonWriter _json;

    public RecordBuffer()
    {
        // Relaxed: the text is read by JSON readers alone, and pages escape what they show.
        _json = new Utf8JsonWriter(_octets, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
    }

    public ReadOnlySpan<byte> Written => _octets.WrittenSpan;

    public bool IsLarge => _octets.Capacity > MaxKeptOctets;

    /// <summary>Empties the buffer and returns its writer; flush it before <see cref="Written"/> is read.</summary>
    public Utf8JsonWriter Begin()
    {
        _octets.ResetWrittenCount();
        _json.Reset();
        return _json;
    }
}

/// <summary>Buffers that wait to be used again.</summary>
internal sealed class RecordBufferPool
{
    private const int MaxKept = 512; // Two batches.

    private readonly ConcurrentQueue<RecordBuffer> _free = [];

    public RecordBuffer Rent() => _free.TryDequeue(out RecordBuffer? buffer) ? buffer : new RecordBuffer();

    public void Return(RecordBuffer buffer)
    {
        if (!buffer.IsLarge && _free.Count < MaxKept)
            _free.Enqueue(buffer);
    }
}
