using System.Buffers;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Reads what people write into the one form in which it is stored, or says what would be right.</summary>
internal static class AccountNames
{
    /// <summary>Clears a value in a change.</summary>
    public const string None = "none";

    /// <summary>Clears a sender rule in a change.</summary>
    public const string Inherit = "inherit";

    private const int MaxName = 64;
    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-_.");

    /// <summary>Name of a plan or subscription.</summary>
    public static string Name(string text, string what)
    {
        if (text.Length is 0 or > MaxName || text.AsSpan().ContainsAnyExcept(NameCharacters) || !char.IsAsciiLetterOrDigit(text[0]) || text == None)
            throw AdminException.Invalid($"'{Printable(text)}' is no name for a {what}: use 1 to {MaxName} lower-case letters, digits, -, _ and ., beginning with a letter or digit");
        return text;
    }

    /// <summary>Whether a text is in the form of a credential's name: never that of a mailbox, and always a local part.</summary>
    public static bool IsCredential(string text) =>
        text.Length is > 0 and <= MaxName && !text.AsSpan().ContainsAnyExcept(NameCharacters) && char.IsAsciiLetterOrDigit(text[0]);

    /// <summary>Name of a credential.</summary>
    public static string Credential(string text) => IsCredential(text) ? text : throw AdminException.Invalid(
        $"'{Printable(text)}' is no name for a sender: use 1 to {MaxName} lower-case letters, digits, -, _ and ., beginning with a letter or digit (no @, as it is a login beside those of mailboxes)");

    /// <summary>A domain as A-labels, with at least two labels.</summary>
    public static string Domain(string text)
    {
        if (!Core.Mail.Domain.TryParse(text, out Domain? domain))
            throw AdminException.Invalid($"'{Printable(text)}' is no domain name; write it like shop.test");
        if (!domain.Value.Contains('.'))
            throw AdminException.Invalid($"'{domain}' is a name of one label; write a whole domain like shop.test");
        return domain.Value;
    }

    /// <summary>A mailbox's address in its canonical form.</summary>
    public static MailboxAddress Mailbox(string text)
    {
        if (!MailboxAddress.TryParse(text, out MailboxAddress? address) || address.Domain is null)
            throw AdminException.Invalid($"'{Printable(text)}' is no mailbox address; write it like info@shop.test");
        if (!MailboxAddress.TryParse(address.Canonical, out MailboxAddress? canonical) || canonical.Canonical != address.Canonical)
            throw AdminException.Invalid($"'{Printable(text)}': a mailbox's local part must need no quotes; write it like info@shop.test");
        return canonical;
    }

    public static string Contact(string text) => MailboxAddress.TryParse(text, out MailboxAddress? address) && address.Domain is not null
        ? address.Text
        : throw AdminException.Invalid($"'{Printable(text)}' is no address for a contact; write it like owner@shop.test");

    /// <summary>A local address that mail can leave from.</summary>
    /// <param name="family">Null: either.</param>
    public static IPAddress Address(string text, AddressFamily? family)
    {
        IPAddress address = AnyAddress(text, family);
        return !SystemChoice.Is(address) ? address
            : throw AdminException.Invalid($"{address} stands for {SystemChoice.Words}; name one of this server's own addresses, like {Example(address.AddressFamily)}");
    }

    /// <summary>As <see cref="Address"/>, or what stands for the system's choice.</summary>
    public static IPAddress AnyAddress(string text, AddressFamily? family = null)
    {
        string example = Example(family);
        bool isLiteral = text.Contains(':') || text.Count(static c => c == '.') == 3; // "1" and "127.1" parse as well.
        if (!isLiteral || text.Contains('%') || !IPAddress.TryParse(text, out IPAddress? address))
            throw AdminException.Invalid($"'{Printable(text)}' is no IP address; write it like {example}");
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        if (family is not null && address.AddressFamily != family)
            throw AdminException.Invalid($"{address} is no {(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")} address; write it like {example}");
        if (address.IsIPv6Multicast || (address.AddressFamily == AddressFamily.InterNetwork && address.GetAddressBytes()[0] >= 224))
            throw AdminException.Invalid($"{address} is an address no mail can leave from; name one of this server's own, like {example}");
        return address;
    }

    private static string Example(AddressFamily? family) => family == AddressFamily.InterNetworkV6 ? "2001:db8::11" : "192.0.2.11";

    public static string Helo(string text) => Core.Mail.Domain.TryParse(text, out Domain? domain) && domain.Value.Contains('.')
        ? domain.Value
        : throw AdminException.Invalid($"'{Printable(text)}' is no name to greet with; write a whole host name like mail.shop.test, the one the address's PTR names");

    public static IPNetwork Network(string text)
    {
        string cidr = text.Contains('/') ? text : text + (text.Contains(':') ? "/128" : "/32");
        int slash = cidr.IndexOf('/', StringComparison.Ordinal);
        if (!IPAddress.TryParse(cidr.AsSpan(0, slash), out IPAddress? address) || !int.TryParse(cidr.AsSpan(slash + 1), out int length)
            || length < 0 || length > (address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128) || (!text.Contains(':') && text.Count(static c => c == '.') != 3))
            throw AdminException.Invalid($"'{Printable(text)}' is no network; write it like 192.0.2.0/24 or 2001:db8::/32");
        if (address.IsIPv4MappedToIPv6)
            throw AdminException.Invalid($"{Printable(text)} is IPv4 written as IPv6; write it like {address.MapToIPv4()}/{Math.Max(length - 96, 1)}");
        if (length == 0)
            throw AdminException.Invalid($"{text} is the whole internet; list only networks whose every host may send");
        IPAddress prefix = NetworkTable.Mask(address, length);
        return prefix.Equals(address) ? new IPNetwork(prefix, length)
            : throw AdminException.Invalid($"{text} has bits set behind its prefix; write {prefix}/{length}, or {address} for that one host");
    }

    /// <summary>A sender rule of an object's own.</summary>
    /// <param name="text">Null: as it is.</param>
    /// <param name="what">As people call the rule.</param>
    /// <returns>Null for <see cref="Inherit"/>: what is in force above.</returns>
    public static T? Rule<T>(string? text, T? current, string what)
        where T : struct, Enum
    {
        if (text is null or Inherit)
            return text is null ? current : null;
        foreach (T value in Enum.GetValues<T>())
        {
            if (string.Equals(value.ToString(), text, StringComparison.OrdinalIgnoreCase))
                return value;
        }
        throw AdminException.Invalid($"'{Printable(text)}' is no {what}; use {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()} or {Inherit}");
    }

    /// <summary>The key of an object that has limits or can be suspended, in the stored form.</summary>
    public static AccountKey Key(AccountKey key) => key.Level switch
    {
        Level.Server => key with { Name = "" },
        Level.Domain => key with { Name = Domain(key.Name) },
        Level.Mailbox => key with { Name = Mailbox(key.Name).Canonical },
        _ => key with { Name = Name(key.Name, key.Level.ToString().ToLowerInvariant()) },
    };

    /// <summary>For messages: no control characters, at most 80 characters.</summary>
    /// <summary>A switch with three positions; what is not given stays.</summary>
    public static bool? Switch(string? text, bool? old, string what) => text switch
    {
        null => old,
        "on" => true,
        "off" => false,
        "default" => null,
        _ => throw AdminException.Invalid($"'{Printable(text)}' is no value for {what}; use on, off or default"),
    };

    public static string Printable(string text) => string.Concat((text.Length > 80 ? text[..80] + "..." : text).Select(static c => char.IsControl(c) ? '?' : c));
}
