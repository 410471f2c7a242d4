namespace RelayGate.Delivery;

/// <summary>Says whether mail of a subscription may leave by IPv6 now. Withholds a family and never chooses an address: that was done when the mail was accepted.</summary>
/// <returns>Who has switched it off, as it is told: <c>this server</c> or <c>subscription acme</c>; null: it is on.</returns>
public delegate ValueTask<string?> IPv6Switch(string subscription, CancellationToken cancellationToken);
