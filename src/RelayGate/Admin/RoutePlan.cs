using System.Collections.Immutable;
using RelayGate.Accounts;

namespace RelayGate.Admin;

/// <summary>Tells which way a recipient's mail would go now. Asks DNS, and sends nothing.</summary>
/// <param name="subscription">Null: mail of the server itself.</param>
internal delegate Task<RoutePlan> RouteTest(string? subscription, Core.Mail.MailboxAddress recipient, CancellationToken cancellationToken);

/// <summary>The way of one recipient's mail.</summary>
/// <param name="Egress">From where it would leave, for people.</param>
/// <param name="Stops">In the order in which they would be tried.</param>
/// <param name="Fault">Why there is no way; null when there is one.</param>
internal sealed record RoutePlan(RouteView Route, string Egress, ImmutableArray<RouteStop> Stops, string? Fault);

/// <summary>One address of a next hop.</summary>
/// <param name="Provider">Who runs it: what is said of this provider holds for it.</param>
/// <param name="Local">Address it would be dialled from; null: the system's choice, or none.</param>
/// <param name="Helo">Null: it would not be dialled.</param>
/// <param name="Tls">What an ordinary message's connection is checked against: none, may, encrypt, verify, sts or dane.</param>
/// <param name="WhyNot">Why it would not be dialled; null: it would.</param>
internal sealed record RouteStop(string Host, string Remote, string Provider, string? Local, string? Helo, string Tls, bool IsImplicitTls, string? WhyNot);
