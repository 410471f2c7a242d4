using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>What one script sent within a time.</summary>
/// <param name="Script">As <see cref="ScriptKey.Script"/>.</param>
/// <param name="Subscription">For which it sent last; "" where the uid belongs to none.</param>
/// <param name="Path">Full path that was claimed last, or null.</param>
/// <param name="Messages">Taken and not held.</param>
/// <param name="Recipients">Of these messages.</param>
/// <param name="Held">Taken and held when they came.</param>
/// <param name="Claimed">Of all of these, those whose script is the client's word alone.</param>
/// <param name="IsBlocked">Its mail, or all mail of the uid, is held now.</param>
public sealed record ScriptUsage(
    int Uid, string Script, string Subscription, string? Path, long Messages, long Recipients, long Refused, long Held, long Claimed,
    DateTimeOffset FirstSeen, DateTimeOffset LastSeen, bool IsBlocked)
{
    internal ScriptKey Key => new(Uid, Script);

    internal ScriptUsage Plus(ScriptUsage later) => later with
    {
        Path = later.Path ?? Path,
        Messages = Messages + later.Messages,
        Recipients = Recipients + later.Recipients,
        Refused = Refused + later.Refused,
        Held = Held + later.Held,
        Claimed = Claimed + later.Claimed,
        FirstSeen = FirstSeen < later.FirstSeen ? FirstSeen : later.FirstSeen,
        LastSeen = LastSeen > later.LastSeen ? LastSeen : later.LastSeen,
    };
}

/// <param name="NextCursor">Null on the last page.</param>
public sealed record ScriptPage(ImmutableArray<ScriptUsage> Items, string? NextCursor);

/// <summary>What one script sent in one hour.</summary>
/// <param name="At">When it began.</param>
public sealed record ScriptHour(DateTimeOffset At, long Messages, long Recipients, long Refused, long Held);

/// <summary>Mail of a script is held.</summary>
/// <param name="Script">The script, or * for all mail of the uid.</param>
/// <param name="By">Who ordered it.</param>
public sealed record ScriptBlock(string Script, DateTimeOffset At, string By);

/// <summary>Everything that is known of one script.</summary>
/// <param name="Usage">Null when it sent nothing within the time.</param>
/// <param name="Block">Null when it is not blocked.</param>
/// <param name="Last">How its newest message names it.</param>
/// <param name="Process">The process that sent the newest.</param>
/// <param name="Claims">What the client said of itself with the newest.</param>
/// <param name="Hours">Hours in which it sent anything, oldest first.</param>
/// <param name="Messages">Its last messages, newest first.</param>
/// <param name="Waiting">Messages that are held now because it is blocked.</param>
public sealed record ScriptView(
    int Uid, string Script, ScriptUsage? Usage, ScriptBlock? Block, RecordedScript? Last, PeerProcess? Process, SenderClaims? Claims,
    ImmutableArray<ScriptHour> Hours, ImmutableArray<MessageItem> Messages, long Waiting);
