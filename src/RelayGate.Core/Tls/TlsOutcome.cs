namespace RelayGate.Core.Tls;

/// <summary>What came of TLS in one session with a next hop, or what was wrong with the policy that it was to have.</summary>
/// <param name="Policy">What was asked of it.</param>
public sealed record TlsOutcome(TlsMode Policy, TlsResult Result)
{
    /// <summary>"TLS 1.2" or "TLS 1.3"; null: plain text.</summary>
    public string? Version { get; init; }

    /// <summary>Name of the cipher suite; null: plain text.</summary>
    public string? Cipher { get; init; }

    /// <summary>Why the result is not Ok, one line in our words without exception text; null otherwise.</summary>
    public string? Reason { get; init; }

    /// <summary>Whether the certificate was verified, by the policy's means.</summary>
    public bool IsVerified => Result == TlsResult.Ok && Version is not null && Policy >= TlsMode.Verify;

    /// <summary>Version and cipher, or null: plain text.</summary>
    public string? Description => Version is null ? null : $"{Version} {Cipher}";

    /// <summary>For the record: the policy's word and the result's, for instance <c>dane ok</c> or <c>sts certificate-host-mismatch</c>.</summary>
    public override string ToString() => $"{Policy.Word()} {Result.Word()}";
}
