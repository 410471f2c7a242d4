using System.Net;
using RelayGate.Configuration;

namespace RelayGate.Admin;

/// <summary>Asks somebody outside, from one of our addresses, as which address he sees us.</summary>
/// <param name="target">Null: <c>Egress:Probe</c>.</param>
internal delegate Task<AddressSighting> AddressProbe(IPAddress address, string helo, ProbeTarget target, CancellationToken cancellationToken);

/// <summary>What came of a probe.</summary>
/// <param name="Local">The real local address; null: no connection.</param>
/// <param name="SeenAs">The address he named; null: he named none, which says nothing.</param>
/// <param name="Said">The line of his reply that named it, or his greeting; null for STUN.</param>
/// <param name="Fault">Why it came to nothing; null: it did not.</param>
internal sealed record AddressSighting(string? Local, string? SeenAs, string? Said, string? Fault);
