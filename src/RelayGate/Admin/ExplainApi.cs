using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Admin;

/// <summary>The dry run: what would be decided of a message now, by the same look-up and the same rules. Has the shape of a record.</summary>
internal sealed class ExplainApi(AccountDirectory directory, AccountAdministration accounts, TimeProvider time)
{
    private const int MaxHeaderFrom = 900;

    public void Map(AdminDispatcher api) => api.Change("POST", "explain", ExplainAsync);

    private async Task<JsonNode?> ExplainAsync(AdminRequest request)
    {
        RequestBody body = await request.BodyAsync("login", "uid", "client", "from", "headerFrom", "to", "octets");
        SenderIdentity identity = await IdentityAsync(body, request.Aborted);
        string from = body.Text("from") ?? (identity.Kind != IdentityKind.Login ? "" : identity.Credential is null ? identity.Name : await SenderOfAsync(identity, request.Aborted));
        ReversePath reversePath = from.Length == 0 ? ReversePath.Null : new ReversePath(Address("from", from, identity.IsLocal));
        Envelope envelope = Envelope.Begin(reversePath) with { DeclaredOctets = body.Number("octets") };
        foreach (string to in body.Texts("to"))
            envelope = envelope.WithRecipient(new EnvelopeRecipient(new ForwardPath(Address("to", to, identity.IsLocal))));
        if (envelope.Recipients.IsEmpty)
            throw AdminRequest.Bad("to: at least one recipient is expected");
        string? headerFrom = body.Text("headerFrom");
        if (headerFrom is { Length: 0 or > MaxHeaderFrom } || (headerFrom ?? "").Any(char.IsControl))
            throw AdminRequest.Bad($"headerFrom: what stands in a From field is expected, in one line of at most {MaxHeaderFrom} characters");
        (SenderAccount account, Decision decision, Unsigned? unsigned) = await directory.ExplainAsync(identity, envelope, headerFrom, request.Aborted);
        return Json(account, decision, unsigned, envelope);
    }

    private async ValueTask<SenderIdentity> IdentityAsync(RequestBody body, CancellationToken cancellationToken)
    {
        if (body.Text("login") is { } login)
        {
            if (!login.Contains('@'))
            {
                SenderView sender = AdminJson.Value(await accounts.ShowSenderAsync(login.ToLowerInvariant(), cancellationToken));
                return new SenderIdentity(IdentityKind.Login, sender.Name, IPAddress.Loopback) { Credential = sender.Name, PasswordSetAt = sender.PasswordSetAt.ToUnixTimeMilliseconds() };
            }
            MailboxView mailbox = AdminJson.Value(await accounts.ShowMailboxAsync(Address("login", login, false).Canonical, cancellationToken));
            return new SenderIdentity(IdentityKind.Login, mailbox.Address, IPAddress.Loopback);
        }
        if (body.Text("client") is { } client)
        {
            return IPAddress.TryParse(client, out IPAddress? address)
                ? await directory.IdentifyAsync(address, null, cancellationToken)
                : throw AdminRequest.Bad($"client is '{client}': an IP address is expected");
        }
        string user = body.Text("uid") ?? throw AdminRequest.Bad("say who sends: login, uid or client");
        int uid = int.TryParse(user, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
            : SystemUserDatabase.TryFind(user, out SystemUserEntry? entry) ? entry.Uid
            : throw new ProblemException(Problem.NotFound($"this host has no user '{user}'"));
        return await directory.IdentifyAsync(null, new PeerProcess(uid), cancellationToken);
    }

    /// <summary>The address that would replace one that is not owned.</summary>
    private async ValueTask<string> SenderOfAsync(SenderIdentity identity, CancellationToken cancellationToken) =>
        (await directory.LookUpAsync(identity, ReversePath.Null, default, cancellationToken)).Account.DefaultSender?.Text ?? "";

    private JsonObject Json(SenderAccount account, Decision decision, Unsigned? unsigned, Envelope envelope)
    {
        string now = AdminJson.Time(time.GetUtcNow());
        SenderIdentity identity = account.Identity;
        return new JsonObject
        {
            ["kind"] = "dry-run",
            ["at"] = now,
            ["lastAt"] = now,
            ["identity"] = identity.Key,
            ["credential"] = identity.Credential,
            ["uid"] = identity.Uid,
            ["client"] = identity.Client?.ToString(),
            ["subscription"] = account.Subscription,
            ["plan"] = account.Plan,
            ["claimed"] = account.IsClaimed,
            ["class"] = decision.Class?.Word(),
            ["exempt"] = decision.IsExempt,
            ["sender"] = envelope.ReversePath.Text,
            ["recipients"] = new JsonArray([.. envelope.Recipients.Select(r => (JsonNode)r.ForwardPath.Text)]),
            ["recipientCount"] = envelope.Recipients.Length,
            ["verdict"] = AdminJson.Word(decision.Verdict),
            ["outcome"] = AdminJson.Word(decision.Verdict),
            ["reason"] = decision.Reason,
            ["reply"] = decision.Reply.ToString(),
            ["reversePath"] = decision.IsTaken ? decision.ReversePath.Text : null,
            ["corrections"] = new JsonArray([.. decision.Corrections.Select(c => (JsonNode)new JsonObject { ["what"] = c.What, ["original"] = c.Original, ["replacement"] = c.Replacement, ["why"] = c.Why })]),
            ["egress"] = decision.IsTaken ? Egress(decision.Egress) : null,
            ["signatures"] = new JsonArray([.. decision.SigningKeys.Select(Signature)]),
            ["unsigned"] = unsigned is null ? null : new JsonObject { ["why"] = unsigned.Why, ["domain"] = unsigned.Domain },
            ["levels"] = new JsonArray([.. decision.Levels.Select(l => (JsonNode)Level(l, ReferenceEquals(l, decision.Stopped)))]),
            ["nextPossible"] = decision.NextPossible is { } next ? AdminJson.Time(next) : null,
        };
    }

    private static JsonNode Signature(DkimKey key) => $"d={key.Domain.Value} s={key.Selector}";

    private static JsonObject Egress(EgressChoice egress) => new()
    {
        ["why"] = egress.Why,
        ["ipv4"] = egress.IPv4?.Address.ToString(),
        ["ipv6"] = egress.IPv6?.Address.ToString(),
        ["helo"] = (egress.IPv4 ?? egress.IPv6)?.Helo ?? egress.Helo,
        ["system"] = egress.IsSystemDefault ? true : null,
        ["ipv6OffBy"] = egress.IPv6OffBy,
    };

    private static JsonObject Level(LevelUsage level, bool stopped) => new JsonObject
    {
        ["level"] = AdminJson.Word(level.Key.Level),
        ["name"] = level.Key.Name,
        ["class"] = level.Key.Class?.Word(),
        ["limit"] = level.Limit?.ToString(),
        ["origin"] = level.Origin,
        ["used"] = level.Used,
        ["after"] = level.After,
        ["stopped"] = stopped,
    };

    private static MailboxAddress Address(string field, string text, bool allowUnqualified) =>
        MailboxAddress.TryParse(text, out MailboxAddress? address, allowUnqualified) ? address : throw AdminRequest.Bad($"{field} is '{text}': an address is expected");
}
