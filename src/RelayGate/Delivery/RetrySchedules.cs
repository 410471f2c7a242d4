using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;

namespace RelayGate.Delivery;

/// <summary>The retry schedule of each provider and class, made once from the settings.</summary>
/// <remarks>
/// <c>Delivery:Retry</c> is for all; a provider's <c>Retry</c> takes its place; from that a class has its own by <see cref="FirstFactor"/> and
/// <see cref="GreylistedLongest"/>, so that whoever sets one time moves all; what <c>Delivery:Retry:Classes</c> says wins.
/// </remarks>
internal sealed class RetrySchedules
{
    /// <summary>A greylisting next hop takes the message at one of the first attempts after its time, which is minutes and rarely an hour.</summary>
    private static readonly TimeSpan GreylistedLongest = TimeSpan.FromHours(1);

    private readonly Dictionary<string, RetrySchedule> _all;
    private readonly Dictionary<string, Dictionary<string, RetrySchedule>> _byProvider = new(StringComparer.OrdinalIgnoreCase);

    public RetrySchedules(DeliveryOptions options)
    {
        _all = Make(options.Retry, null);
        foreach ((string name, ProviderOptions provider) in options.Providers)
        {
            if (provider.Retry is { } own)
                _byProvider.Add(name, Make(options.Retry, own));
        }
    }

    /// <param name="provider">As in <c>NextHopAddress.Provider</c>; "" for none.</param>
    public RetrySchedule For(string provider, RecipientOutcome outcome)
    {
        string replyClass = outcome.Finding is { } finding ? ReplyClassNames.NameOf(finding.Class)
            : outcome is { Code: 0, Status: "4.4.1" or "4.4.2" } ? RetryOptions.ConnectionClass
            : ReplyClassNames.NameOf(ReplyClass.None);
        return _byProvider.GetValueOrDefault(provider, _all)[replyClass];
    }

    private static Dictionary<string, RetrySchedule> Make(RetryOptions all, RetryOverride? atProvider) =>
        ReplyClassNames.All.Append(RetryOptions.ConnectionClass).ToDictionary(static name => name, name => Make(all, atProvider, name));

    private static RetrySchedule Make(RetryOptions all, RetryOverride? atProvider, string replyClass)
    {
        TimeSpan first = atProvider?.First ?? all.First;
        TimeSpan longest = atProvider?.Longest ?? all.Longest;
        TimeSpan giveUpAfter = atProvider?.GiveUpAfter ?? all.GiveUpAfter;
        RetryOverride? ofClass = all.Classes.GetValueOrDefault(replyClass);
        longest = ofClass?.Longest ?? (replyClass == ReplyClassNames.NameOf(ReplyClass.Greylisted) && longest > GreylistedLongest ? GreylistedLongest : longest);
        first = ofClass?.First ?? first * FirstFactor(replyClass);
        return new RetrySchedule(first < longest ? first : longest, longest, ofClass?.GiveUpAfter ?? giveUpAfter);
    }

    /// <summary>How much longer than others a class waits at first: a mailbox is not emptied within the minute, and neither is a reputation mended.</summary>
    private static int FirstFactor(string replyClass) => ReplyClassNames.TryParse(replyClass, out ReplyClass known) ? known switch
    {
        ReplyClass.MailboxFull => 30,
        ReplyClass.IpBlocked or ReplyClass.IpDeferred or ReplyClass.Ptr or ReplyClass.DomainReputation or ReplyClass.Authentication => 15,
        ReplyClass.Rate => 5,
        _ => 1,
    } : 1;
}
