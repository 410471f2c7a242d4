using System.Collections.Immutable;
using System.Text;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Messages;

/// <summary>Everything in a From field that some reader could take for its address.</summary>
/// <remarks>
/// Readers differ over fields that are not clean (RFC 5322 §3.4, §4.4), and a forger lives on that. So this does not choose: after the address
/// that a strict reader takes come all others, in display names without quotes, in comments, and in quoted strings and encoded words that
/// hold an address in angle brackets. What looks like an address and cannot be read makes the field unreadable.
/// </remarks>
internal sealed class FromField
{
    /// <summary>Longest value that is read; people write a few hundred. Encoded words are looked behind just as far.</summary>
    private const int MaxOctets = EncodedWords.MaxCharacters;

    private const int MaxAddresses = 100;
    private const int MaxDepth = 2; // Comments, quoted strings and encoded words within each other.

    private readonly ImmutableArray<MailboxAddress>.Builder _addresses = ImmutableArray.CreateBuilder<MailboxAddress>(1);
    private bool _hasUnreadablePart;

    private FromField()
    {
    }

    /// <summary>No From field.</summary>
    public static FromField None { get; } = new() { Addresses = [] };

    /// <summary>All candidates; the first is the one a strict reader takes.</summary>
    public ImmutableArray<MailboxAddress> Addresses { get; private set; } = [];

    /// <summary>There is no address, a part that looks like one cannot be read, or the field is too long to be read at all.</summary>
    public bool IsUnreadable { get; private set; }

    /// <summary>One local part without a domain, as cron writes it: <c>root (Cron Daemon)</c>.</summary>
    public bool IsUnqualified => Unqualified is not null;

    /// <summary>That local part; else null.</summary>
    public MailboxAddress? Unqualified { get; private set; }

    /// <summary>For <see cref="IsUnqualified"/>: where "@" and a domain are missing, from the start of the value.</summary>
    public int UnqualifiedEnd { get; private set; }

    /// <summary>Reads the value of a From field: what stands after the colon, folds included.</summary>
    public static FromField Read(ReadOnlySpan<byte> value)
    {
        var field = new FromField();
        if (value.Length > MaxOctets)
        {
            field.IsUnreadable = true;
            return field;
        }
        field.Collect(value, depth: 0);
        field.Addresses = field._addresses.DrainToImmutable();
        if (!field.Addresses.IsEmpty || field._hasUnreadablePart)
            field.Unqualified = null;
        field.IsUnreadable = field._hasUnreadablePart || (field.Addresses.IsEmpty && !field.IsUnqualified);
        return field;
    }

    private void Collect(ReadOnlySpan<byte> value, int depth)
    {
        var tokens = new AddressTokens(value);
        Span<AddressToken> kept = tokens.Count <= 64 ? stackalloc AddressToken[64] : new AddressToken[tokens.Count];
        kept = kept[..tokens.CopyTo(kept)];
        _hasUnreadablePart |= depth == 0 && tokens.IsBroken;
        bool anyAt = false;
        bool inAngles = false;
        int elementStart = 0;
        for (int i = 0; i <= kept.Length; i++)
        {
            if (i < kept.Length)
            {
                byte kind = kept[i].Kind;
                anyAt |= kind == '@';
                inAngles = kind == '<' || (inAngles && kind != '>');
                if (inAngles || kind is not ((byte)',' or (byte)';' or (byte)':'))
                    continue;
            }
            ReadElement(value, kept[elementStart..i], depth);
            elementStart = i + 1;
        }
        if (depth == 0 && !anyAt)
            FindUnqualified(value, kept);
        if (depth >= MaxDepth)
        {
            _hasUnreadablePart |= tokens.Hidden.Count > 0;
            return;
        }
        foreach (string text in tokens.Hidden)
            Collect(Encoding.UTF8.GetBytes(text), depth + 1);
    }

    /// <summary>One mailbox of the list: the address in angle brackets comes first, whatever stands before it.</summary>
    private void ReadElement(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> element, int depth)
    {
        int angle = element.Length;
        for (int i = 0; i < element.Length; i++)
        {
            if (element[i].Kind == '<')
            {
                angle = i;
                break;
            }
        }
        ReadAddresses(value, element, angle, element.Length, depth);
        ReadAddresses(value, element, 0, angle, depth);
    }

    /// <summary>Each "@" between two positions is the middle of an address; within comments and quoted strings it may be anything.</summary>
    private void ReadAddresses(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> tokens, int from, int to, int depth)
    {
        for (int at = from; at < to; at++)
        {
            if (tokens[at].Kind != '@')
                continue;
            int first = at;
            while (first > from && (tokens[first - 1].Kind == '.' || (tokens[first - 1].IsWord && (first == at || tokens[first].Kind == '.'))))
                first--;
            int last = at;
            while (last + 1 < to && (tokens[last + 1].Kind == '.' || (tokens[last + 1].IsDomainPart && (last == at || tokens[last].Kind == '.'))))
                last++;
            bool doubled = (first > from && tokens[first - 1].Kind == '@') || (last + 1 < to && tokens[last + 1].Kind == '@');
            if (doubled || !TryMake(value, tokens[first..at], tokens[(at + 1)..(last + 1)], out MailboxAddress? address) || _addresses.Count >= MaxAddresses)
                _hasUnreadablePart |= depth == 0;
            else
                _addresses.Add(address!);
        }
    }

    /// <summary>Joins the parts. Blanks or comments between them are read one way by some and another way by others, so they are refused.</summary>
    private static bool TryMake(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> local, ReadOnlySpan<AddressToken> domain, out MailboxAddress? address)
    {
        address = null;
        if (local.IsEmpty || domain.IsEmpty || !IsContiguous(local) || !IsContiguous(domain))
            return false;
        string localPart = TextOf(value, local);
        string domainText = TextOf(value, domain);
        if (localPart.Contains("=?", StringComparison.Ordinal))
            return false; // Some readers would decode it.
        if (domainText.EndsWith('.'))
            domainText = domainText[..^1];
        if (MailboxAddress.TryParse($"{localPart}@{domainText}", out address))
            return true;
        // Local parts that RFC 5321 does not know, such as "john..doe": only the domain matters here.
        return !localPart.Contains('"') && MailboxAddress.TryParse($"\"{localPart.Replace("\\", "\\\\", StringComparison.Ordinal)}\"@{domainText}", out address);
    }

    private static bool IsContiguous(ReadOnlySpan<AddressToken> tokens)
    {
        for (int i = 1; i < tokens.Length; i++)
        {
            if (tokens[i].Start != tokens[i - 1].End)
                return false;
        }
        return true;
    }

    private static string TextOf(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> tokens) =>
        Encoding.UTF8.GetString(value[tokens[0].Start..tokens[^1].End]);

    /// <summary>One word, alone or in angle brackets, in a field without any "@".</summary>
    private void FindUnqualified(ReadOnlySpan<byte> value, ReadOnlySpan<AddressToken> tokens)
    {
        int from = 0;
        int to = tokens.Length;
        for (int i = 0; i < tokens.Length; i++)
        {
            if (tokens[i].Kind == '<')
            {
                from = i + 1;
                to = tokens.Length - 1;
                if (tokens[^1].Kind != '>')
                    return;
                break;
            }
        }
        if (from >= to || !IsContiguous(tokens[from..to]))
            return;
        foreach (ref readonly AddressToken token in tokens[from..to])
        {
            if (!token.IsWord && token.Kind != '.')
                return;
        }
        string text = TextOf(value, tokens[from..to]);
        if (!text.Contains("=?", StringComparison.Ordinal) && MailboxAddress.TryParse(text, out MailboxAddress? unqualified, allowUnqualified: true))
            Unqualified = unqualified;
        UnqualifiedEnd = tokens[to - 1].End;
    }
}
