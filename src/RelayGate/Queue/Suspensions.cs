using System.Collections.Frozen;
using System.Globalization;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Who made a queued message: by any of these it may be held.</summary>
/// <param name="CountedAt">Mailbox, else domain that it was counted at; null: neither.</param>
/// <param name="Uid">Of the process that handed it in on the unix socket.</param>
/// <param name="Credential">Name of the credential it came in with.</param>
/// <param name="Script">The script that made it, as the message's row names it.</param>
/// <param name="IsScriptInDoubt">Any other PHP script of the uid may have made it.</param>
/// <param name="Named">Further domains of its subscription that reverse-path and header From name, with a blank between them; null: none.</param>
internal readonly record struct MailSource(string Subscription, string? CountedAt, int? Uid, string? Credential, string? Script, string? Named = null, bool IsScriptInDoubt = false);

/// <summary>Whose queued mail is held now: one state of the accounts, swapped whole.</summary>
/// <param name="Subscriptions">Suspended by themselves or with their plan.</param>
/// <param name="Senders">Suspended domains and mailboxes.</param>
public sealed record Suspensions(FrozenSet<string> Subscriptions, FrozenSet<string> Senders)
{
    private readonly FrozenDictionary<int, string[]> _scriptsOf = FrozenDictionary<int, string[]>.Empty;

    /// <summary>Nobody is suspended.</summary>
    public static Suspensions None { get; } = new([], []);

    /// <summary>Suspended uids.</summary>
    public FrozenSet<int> Uids { get; init; } = [];

    /// <summary>Suspended credentials, by name.</summary>
    public FrozenSet<string> Credentials { get; init; } = [];

    /// <summary>Blocked scripts, with the uid they run under.</summary>
    public FrozenSet<(int Uid, string Script)> Scripts
    {
        get;
        init
        {
            field = value;
            _scriptsOf = value.GroupBy(static s => s.Uid).ToFrozenDictionary(static g => g.Key, static g => g.Select(static s => s.Script).ToArray());
        }
    } = [];

    public bool IsEmpty => Subscriptions.Count + Senders.Count + Uids.Count + Credentials.Count + Scripts.Count == 0;

    /// <summary>What is stored as the object that a blocked script's mail waits for.</summary>
    public static string ScriptAt(int uid, string script) => string.Create(CultureInfo.InvariantCulture, $"script {uid} {script}");

    /// <summary>Why a message is held now, and for what; null: it may go.</summary>
    internal (HoldReason Reason, string At)? Of(in MailSource source)
    {
        if (Subscriptions.Contains(source.Subscription))
            return (HoldReason.Suspended, $"subscription {source.Subscription}");
        if (Senders.Count > 0 && source.CountedAt is { } countedAt && SenderOf(countedAt) is { } sender)
            return (HoldReason.Suspended, $"sender {sender}");
        if (Senders.Count > 0 && source.Named is { } named && Array.Find(named.Split(' '), Senders.Contains) is { } domain)
            return (HoldReason.Suspended, $"sender {domain}");
        if (source.Uid is { } uid && Uids.Contains(uid))
            return (HoldReason.Suspended, string.Create(CultureInfo.InvariantCulture, $"uid {uid}"));
        if (source.Credential is { } credential && Credentials.Contains(credential))
            return (HoldReason.Suspended, $"credential {credential}");
        return source is { Script: { } script, Uid: { } owner } && _scriptsOf.TryGetValue(owner, out string[]? blocked)
            && new ScriptKey(owner, script).FindBlock(blocked, source.IsScriptInDoubt) is { } block ? (HoldReason.Script, ScriptAt(owner, block)) : null;
    }

    internal bool Has(QueuedMessage message) => !IsEmpty && Of(message.Source) is not null;

    /// <summary>Whether what is stored of a held message still holds it: the second part of <see cref="Of"/>.</summary>
    internal bool IsHeldAt(string at)
    {
        int blank = at.IndexOf(' ', StringComparison.Ordinal);
        (string kind, string name) = (at[..blank], at[(blank + 1)..]);
        return kind switch
        {
            "subscription" => Subscriptions.Contains(name),
            "sender" => Senders.Contains(name),
            "uid" => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && Uids.Contains(number),
            "credential" => Credentials.Contains(name),
            "script" => name.Split(' ', 2) is [var uid, var script] && int.TryParse(uid, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int owner) && Scripts.Contains((owner, script)),
            _ => false,
        };
    }

    private string? SenderOf(string countedAt)
    {
        if (Senders.Contains(countedAt))
            return countedAt;
        int at = countedAt.LastIndexOf('@');
        return at >= 0 && Senders.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(countedAt.AsSpan(at + 1), out string? domain) ? domain : null;
    }
}
