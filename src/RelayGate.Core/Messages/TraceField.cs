using System.Net;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Messages;

/// <summary>What goes into the Received field that is put on top (RFC 5321 §4.4).</summary>
/// <param name="HeloName">As the client gave it; cleaned when written.</param>
/// <param name="Client">Null on a unix socket.</param>
/// <param name="Uid">Peer's uid on a unix socket.</param>
/// <param name="By">Our Hostname.</param>
/// <param name="Protocol">ESMTP, ESMTPSA… (RFC 3848).</param>
/// <param name="Tls">Version and cipher for a comment, or null.</param>
/// <param name="For">The recipient when there is exactly one, else null: others must not be named (RFC 5321 §7.6).</param>
public sealed record TraceField(
    string HeloName, IPAddress? Client, int? Uid, string By, string Protocol, string? Tls, QueueId Id, ForwardPath? For, DateTimeOffset At);
