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
/// <param name="Class">Mail of this class alone; null: all mail of the object.</param>
public readonly record struct AccountKey(Level Level, string Name, MessageClass? Class = null)
{
    public static AccountKey Server { get; } = new(Level.Server, "");

    /// <summary>The object, whatever the class.</summary>
    public AccountKey Object => this with { Class = null };

    /// <summary>Whether mail of a class counts here.</summary>
    public bool Counts(MessageClass value) => Class is null || Class == value;

    /// <summary>As people write it: <c>server</c>, <c>mailbox info@shop.test</c>, <c>subscription acme class forward</c>.</summary>
    public override string ToString()
    {
        string name = Level == Level.Server ? "server" : $"{Level.ToString().ToLowerInvariant()} {Name}";
        return Class is { } value ? $"{name} class {value.Word()}" : name;
    }
}
