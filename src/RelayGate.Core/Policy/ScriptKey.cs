namespace RelayGate.Core.Policy;

/// <summary>Names what made local mail: a script or program of one user of the machine.</summary>
/// <param name="Uid">The uid of the process that connected, by the kernel's word: nobody is counted or blocked for another's mail.</param>
/// <param name="Script">
/// File name of a PHP script (<c>contact.php</c>), else path of a program (<c>/usr/bin/python3</c>), else the command name in brackets (<c>(cron)</c>)
/// where the path may not be looked at, else <see cref="Unknown"/>. At most <see cref="MaxLength"/> characters.
/// </param>
public readonly record struct ScriptKey(int Uid, string Script)
{
    public const int MaxLength = 200;

    /// <summary>Nothing is known of the process.</summary>
    public const string Unknown = "?";

    /// <summary>Of a block: all mail of the uid.</summary>
    public const string Any = "*";

    /// <summary>In counts: the scripts beyond those that are counted by name.</summary>
    public const string Others = "(others)";

    /// <summary>Whether a block of <paramref name="blocked"/> is for mail of this script.</summary>
    /// <param name="isInDoubt">As <see cref="SendingScript.IsInDoubt"/>.</param>
    /// <remarks>
    /// While a PHP script is blocked, mail of its user is held as well where PHP (or nobody knows what) sent it without naming a script, and where
    /// the name is only claimed: a script could else go on by leaving its name out, or by claiming another. Mail of which PHP says in
    /// X-PHP-Originating-Script that another script sent it goes on, and mail of other programs.
    /// </remarks>
    public bool IsBlockedBy(string blocked, bool isInDoubt = false) =>
        blocked == Any || blocked == Script || (IsPhpFile(blocked) && (isInDoubt || IsUnnamedPhp(Script)));

    /// <summary>The first of some blocks that is for mail of this script, or null.</summary>
    /// <param name="isInDoubt">As <see cref="SendingScript.IsInDoubt"/>.</param>
    public string? FindBlock(IEnumerable<string> blocked, bool isInDoubt)
    {
        foreach (string script in blocked)
        {
            if (IsBlockedBy(script, isInDoubt))
                return script;
        }
        return null;
    }

    /// <summary>Whether this names a PHP script, and no program.</summary>
    private static bool IsPhpFile(string script) => script[0] is not ('/' or '(' or '?' or '*');

    private static bool IsUnnamedPhp(string script)
    {
        if (script == Unknown)
            return true;
        if (IsPhpFile(script))
            return false;
        ReadOnlySpan<char> name = script.AsSpan(script.LastIndexOf('/') + 1).Trim("()");
        return name.Contains("php", StringComparison.OrdinalIgnoreCase) || name is "apache2" or "httpd" or "litespeed" or "lshttpd" or "unitd";
    }

    /// <summary>As people write it: <c>uid 1001 contact.php</c>.</summary>
    public override string ToString() => $"uid {Uid} {Script}";
}
