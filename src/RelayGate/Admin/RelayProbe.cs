using System.Collections.Immutable;

namespace RelayGate.Admin;

/// <summary>Tries every listener as a client without an identity would; nothing is sent, because no data are offered.</summary>
internal delegate Task<ImmutableArray<RelayProbeResult>> RelayProbe(CancellationToken cancellationToken);

/// <summary>What one listener said to the probe.</summary>
/// <param name="Target">Listener, address and TLS state: <c>local 127.0.0.1:587</c>, <c>submission 192.0.2.1:587 STARTTLS</c>.</param>
/// <param name="Tried">Pairs of sender and recipient that were tried.</param>
/// <param name="Taken">The first pair that was taken, <c>sender to recipient</c>; null: none was.</param>
/// <param name="Identity">By what the probe itself is known there, so that taking its mail is right (a uid, a listed network); null: by nothing.</param>
/// <param name="Fault">Why it could not be tried; null when it was.</param>
internal sealed record RelayProbeResult(string Target, int Tried, string? Taken, string? Identity, string? Fault);
