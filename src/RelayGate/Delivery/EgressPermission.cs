using System.Net;

namespace RelayGate.Delivery;

/// <summary>Says whether mail of a subscription may leave from a local address now: not from one that is exclusive to another subscription.</summary>
public delegate ValueTask<bool> EgressPermission(string subscription, IPAddress local, CancellationToken cancellationToken);
