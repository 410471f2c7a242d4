namespace RelayGate.Egress;

/// <summary>A provider refuses a local address, or takes its mail again.</summary>
/// <param name="State">The pause that began, or that a message has ended which was taken. What is ended by hand proves nothing and is no news.</param>
/// <param name="Waiting">Recipients that wait for it; counted up to 10,000.</param>
public sealed record EgressNews(EgressState State, bool IsEnded, int Waiting);
