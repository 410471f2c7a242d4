using System.Collections.Immutable;
using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>A webhook as it is shown: never with its secret.</summary>
/// <param name="Kinds"><c>all</c>, or words with commas.</param>
/// <param name="Subscription">Only notices about what is this subscription's; null: all.</param>
/// <param name="AllowsHttp">Without TLS.</param>
/// <param name="AllowsPrivate">To addresses that are not of the internet.</param>
/// <param name="Disabled">Why nothing is sent to it any more; null: it works.</param>
/// <param name="Secrets">How many secrets it is signed with now: two while one takes the place of the other.</param>
/// <param name="Waiting">Deliveries that wait for an attempt.</param>
public sealed record WebhookView(
    string Name, string Url, string Kinds, string? Subscription, bool AllowsHttp, bool AllowsPrivate, string? Disabled, DateTimeOffset CreatedAt, int Secrets, long Waiting);

/// <param name="Secret">Shown this once; null: it was given.</param>
public sealed record WebhookWithSecret(WebhookView View, string? Secret);

/// <summary>Where a delivery to a webhook stands. The numbers are stored.</summary>
public enum WebhookState
{
    Waiting = 2,

    /// <summary>Answered with 2xx.</summary>
    Delivered = 3,

    /// <summary>Given up.</summary>
    Failed = 4,
}

/// <summary>One delivery to a webhook.</summary>
/// <param name="Id">As in <c>webhook-id</c>; the same for every attempt.</param>
/// <param name="NextAttempt">Null: none.</param>
/// <param name="Attempts">The last <see cref="WebhookRows.MaxAttempts"/>, in order.</param>
public sealed record WebhookDelivery(
    string Id, string Webhook, NoticeKind Kind, DateTimeOffset At, WebhookState State, DateTimeOffset? NextAttempt, IReadOnlyList<WebhookAttempt> Attempts);

/// <param name="Duration">How long it took.</param>
/// <param name="Status">Of the answer; null: none came.</param>
/// <param name="Error">What went wrong, in words; "" for 2xx.</param>
public sealed record WebhookAttempt(int Number, DateTimeOffset At, TimeSpan Duration, int? Status, string Error);

/// <summary>What an attempt needs to know.</summary>
/// <param name="Next">When it was due, by the clock of notices; null: it is attempted by who inserted it.</param>
internal sealed record WebhookJob(
    byte[] Id, string Webhook, Uri Url, bool AllowsHttp, bool AllowsPrivate, IReadOnlyList<byte[]> Keys, byte[] Payload, int Attempts, long? Next);

/// <summary>A webhook as the writer of notices needs it.</summary>
internal sealed record WebhookBacklog(string Name, ImmutableArray<NoticeKind> Kinds, string? Subscription)
{
    public long Waiting { get; set; }
}
