using System.Net;

namespace RelayGate.Queue;

/// <summary>What put-off mail waits for; stored as text with each recipient that waits.</summary>
/// <param name="Text"><c>ip ADDRESS</c>, <c>ip ADDRESS PROVIDER</c>, <c>to DOMAIN</c>, <c>provider NAME</c>, <c>connection HOST</c>, or <c>egress SUBSCRIPTION [DOMAIN]</c>.</param>
public readonly record struct WaitKey(string Text)
{
    /// <summary>Everything that leaves from a local address.</summary>
    public static WaitKey Ip(IPAddress address) => new($"ip {address}");

    /// <summary>What leaves from a local address to one provider.</summary>
    public static WaitKey Ip(IPAddress address, string provider) => new($"ip {address} {provider}");

    /// <summary>Everything to one recipient domain.</summary>
    public static WaitKey To(string domain) => new($"to {domain}");

    /// <summary>Everything to one provider.</summary>
    public static WaitKey Provider(string name) => new($"provider {name}");

    /// <summary>Mail for which no connection became free in time. Nothing wakes it before its next attempt.</summary>
    /// <param name="host">The first that was to be tried.</param>
    public static WaitKey Connection(string host) => new($"connection {host}");

    /// <summary>Mail for which there is no local address.</summary>
    /// <param name="subscription">"": mail of the server itself.</param>
    /// <param name="domain">The sender's, or null.</param>
    public static WaitKey Egress(string subscription, string? domain) => new($"egress {subscription}{(domain is null ? "" : $" {domain}")}");

    /// <summary>The parts of <see cref="Egress"/>.</summary>
    public (string Subscription, string? Domain) EgressOf => Text.Split(' ') is [_, var subscription, .. var rest] ? (subscription, rest is [var domain] ? domain : null) : ("", null);

    /// <summary>The parts of <see cref="Ip(IPAddress, string)"/>; null: it is another.</summary>
    public (IPAddress Address, string Provider)? PairOf => Text.Split(' ') is ["ip", var address, var provider] ? (IPAddress.Parse(address), provider) : null;

    /// <summary>The first word: ip, to, provider, connection or egress.</summary>
    public string Kind => Text[..Text.IndexOf(' ')];

    public override string ToString() => Text;
}
