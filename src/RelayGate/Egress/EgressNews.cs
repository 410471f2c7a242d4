namespace RelayGate.Egress;

/// <summary>A provider refuses a local address, or takes its mail again.</summary>
/// <param name="State">The pause that began, or that has ended.</param>
/// <param name="Waiting">Recipients that wait for it; counted up to 10,000.</param>
/// <param name="By">Who ended it by hand; null: a message was taken, or its time had passed.</param>
public sealed record EgressNews(EgressState State, bool IsEnded, int Waiting, string? By);
