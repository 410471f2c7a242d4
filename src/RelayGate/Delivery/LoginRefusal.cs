namespace RelayGate.Delivery;

/// <summary>A smarthost would not have us log in as its route says, or wants a login that the route does not have.</summary>
/// <param name="Text">What it said, or what is missing, in one clean line.</param>
public sealed record LoginRefusal(NextHopAddress Smarthost, string Text);
