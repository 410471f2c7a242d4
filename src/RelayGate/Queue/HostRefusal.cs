using RelayGate.Core.Replies;

namespace RelayGate.Queue;

/// <summary>A host as an attempt met it.</summary>
/// <param name="NextHop">Host name or address literal; "" for none.</param>
/// <param name="Remote">Remote <c>ip:port</c>, or "".</param>
/// <param name="Local">Local address after connect, or "".</param>
/// <param name="Provider">Who runs the host, or "".</param>
/// <param name="Tls">Version and cipher, or null.</param>
public sealed record AttemptHost(string NextHop, string Remote, string Local, string Provider, string? Tls);

/// <summary>How one host ended for recipients that the same attempt then took to another host: what it refused, or that it could not be reached.</summary>
/// <param name="Stage">connect, greeting, ehlo, starttls, auth, mail, rcpt, data, end-of-data.</param>
/// <param name="Remote">Remote <c>ip:port</c>.</param>
/// <param name="Local">Local address after connect, or "".</param>
/// <param name="Provider">Who runs the host.</param>
/// <param name="Recipient">The first recipient that it holds for: index in the results of the attempt.</param>
/// <param name="Recipients">How many it holds for.</param>
/// <param name="Finding">What the refusal is about; null: no reply came.</param>
public sealed record HostRefusal(
    string Stage, string NextHop, string Remote, string Local, string Provider, int Recipient, int Recipients, string Reply, string Status, ReplyFinding? Finding)
{
    /// <summary>An attempt keeps this many; of those beyond, nothing.</summary>
    public const int MaxKept = 16;
}
