namespace RelayGate.Core.Policy;

/// <summary>The five levels at which mail is counted, from the outermost in. A message is refused by the first that is full.</summary>
public enum Level
{
    Server,
    Plan,
    Subscription,
    Domain,
    Mailbox,
}

/// <summary>Names one object that has limits and usage.</summary>
/// <param name="Name">Plan or subscription name, domain as A-labels, canonical mailbox address; empty for the server.</param>
public readonly record struct AccountKey(Level Level, string Name)
{
    public static AccountKey Server { get; } = new(Level.Server, "");

    /// <summary>As people write it: <c>server</c>, <c>mailbox info@shop.test</c>.</summary>
    public override string ToString() => Level == Level.Server ? "server" : $"{Level.ToString().ToLowerInvariant()} {Name}";
}
