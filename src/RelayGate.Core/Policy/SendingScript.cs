using System.Globalization;

namespace RelayGate.Core.Policy;

/// <summary>The script or program that made a local message, as far as it is known.</summary>
/// <param name="IsProved">
/// The name stands on more than the client's word: X-PHP-Originating-Script names the peer's own uid, or the kernel names the program.
/// Who can run code as a user can pretend to be any other script of that user, so this is attribution within one uid, never identity.
/// </param>
public sealed record SendingScript(ScriptKey Key, bool IsProved)
{
    private static readonly char[] Special = ['(', '?', '*'];

    /// <summary>Full path that the client claims, where its last part is the script.</summary>
    public string? Path { get; init; }

    /// <summary>X-PHP-Originating-Script as written, where it says more than uid and file: another uid, or <c>x.php(12) : eval()'d code</c>.</summary>
    public string? Original { get; init; }

    /// <summary>
    /// Nothing but the client's word speaks against any other PHP script of the uid: it is named by XCLAIM alone, or what called sendmail is gone, or is not known.
    /// </summary>
    public bool IsInDoubt { get; init; }

    /// <summary>The first of some blocks of the uid that is for this mail, or null.</summary>
    public string? FindBlock(IEnumerable<string> blocked) => Key.FindBlock(blocked, IsInDoubt);

    /// <summary>X-PHP-Originating-Script names it.</summary>
    public bool IsOfPhp { get; init; }

    /// <param name="process">Null: no local mail, and so no script.</param>
    /// <param name="phpScript">Value of X-PHP-Originating-Script, or null.</param>
    /// <param name="claims">What the client says of itself, or null.</param>
    public static SendingScript? Of(PeerProcess? process, string? phpScript, SenderClaims? claims)
    {
        if (process is null)
            return null;
        if (phpScript is not null && ReadPhp(phpScript) is ({ } file, var uid))
        {
            string? path = claims?.Script is { } claimed && FileOf(claimed) == file ? claimed : null;
            bool isPlain = phpScript == string.Create(CultureInfo.InvariantCulture, $"{process.Uid}:{file}");
            return new SendingScript(new ScriptKey(process.Uid, file), uid == process.Uid) { IsOfPhp = true, Path = path, Original = isPlain ? null : phpScript };
        }
        if (claims?.Script is { } script && FileOf(script) is { } name)
            return new SendingScript(new ScriptKey(process.Uid, name), IsProved: false) { Path = script, IsInDoubt = true };
        return OfProgram(process);
    }

    /// <summary>The peer, or the first above it that does more than pass mail on.</summary>
    private static SendingScript OfProgram(PeerProcess process)
    {
        (string? command, string? executable, bool isReaper) = (process.Command, process.Executable, false);
        foreach (ParentProcess parent in process.Parents)
        {
            if (command is null || !PeerProcess.PassesOn(command))
                break;
            (command, executable, isReaper) = (parent.Command, parent.Executable, PeerProcess.IsReaper(parent));
        }
        string script = executable is not null ? Cut(executable) : command is not null ? $"({Cut(command)})" : ScriptKey.Unknown;
        return new SendingScript(new ScriptKey(process.Uid, script), executable is not null && !isReaper)
        {
            IsInDoubt = isReaper || command is null || PeerProcess.PassesOn(command),
        };
    }

    /// <summary><c>uid:file</c> as PHP writes it (ext/standard/mail.c): the owner of the file, and the file without its folder, with <c>(12) : eval()'d code</c> behind it.</summary>
    private static (string? File, int? Uid) ReadPhp(string value)
    {
        int colon = value.IndexOf(':', StringComparison.Ordinal);
        int? uid = colon > 0 && int.TryParse(value.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
        string rest = uid is null ? value : value[(colon + 1)..];
        for (int at = rest.IndexOf('(', StringComparison.Ordinal); at > 0; at = rest.IndexOf('(', at + 1))
        {
            int end = at + 1;
            while (end < rest.Length && char.IsAsciiDigit(rest[end]))
                end++;
            if (end > at + 1 && rest.AsSpan(end).StartsWith(") : ", StringComparison.Ordinal))
            {
                rest = rest[..at];
                break;
            }
        }
        return (FileOf(rest), uid);
    }

    /// <summary>The last part of a path, in the form of a key; null when there is none.</summary>
    private static string? FileOf(string path)
    {
        string file = path[(path.LastIndexOf('/') + 1)..].Trim();
        if (file.Length > 0 && Special.Contains(file[0])) // Reserved for programs and the like.
            file = $"_{file[1..]}";
        return file.Length == 0 ? null : Cut(file);
    }

    private static string Cut(string text) => text.Length <= ScriptKey.MaxLength - 2 ? text : "…" + text[^(ScriptKey.MaxLength - 3)..];
}
