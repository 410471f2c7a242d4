using RelayGate.Core.Policy;

namespace RelayGate.Core.Messages;

/// <summary>Makes the new header section: trace field, missing Date, Message-ID and From, no Bcc, signatures last (DESIGN §4, step 6).</summary>
public static class MessagePreparer
{
    /// <param name="addMissing">Date, Message-ID and From are added when missing: submission from identities of ours (RFC 6409 §8).</param>
    /// <param name="relaxedBodyHash">SHA-256 of the relaxed canonical body; asked for only if there are keys to sign with.</param>
    /// <returns>The header section with the empty line that ends it, and what changed: <c>+Received</c>, <c>-Bcc</c>, <c>+DKIM-Signature d=… s=…</c>.</returns>
    public static PreparedHeader Prepare(HeaderSection header, Decision decision, TraceField trace, bool addMissing, Func<byte[]> relaxedBodyHash) => throw new NotImplementedException();
}

public sealed record PreparedHeader(byte[] Octets, IReadOnlyList<string> Changes);
