using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Admin;

/// <summary>What the API's handlers share: lists, errors and words.</summary>
internal static class AdminJson
{
    /// <summary><c>{"items":[…],"nextCursor":…}</c>.</summary>
    public static JsonObject List<T>(IEnumerable<T> items, Func<T, JsonNode> toJson, string? next = null)
    {
        var list = new JsonArray();
        foreach (T item in items)
            list.Add(toJson(item));
        var answer = new JsonObject { ["items"] = list };
        if (next is not null)
            answer["nextCursor"] = next;
        return answer;
    }

    public static JsonObject List<T>(Page<T> page, Func<T, JsonNode> toJson) => List(page.Items, toJson, page.Next);

    /// <summary>The value, or the problem that took its place.</summary>
    public static T Value<T>(AdminResult<T> result)
        where T : class
    {
        if (result.IsOk)
            return result.Value;
        AdminError error = result.Error;
        throw new ProblemException(error.Kind switch
        {
            AdminErrorKind.NotFound => Problem.NotFound(error.Message),
            AdminErrorKind.Invalid => Problem.BadRequest(error.Message, "invalid"),
            AdminErrorKind.InUse => new Problem(409, "in-use", error.Message),
            _ => Problem.Conflict(error.Message),
        });
    }

    /// <summary>Enumeration values in lower case.</summary>
    public static string Word<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();

    /// <param name="allowed">None: all of them.</param>
    public static T Choice<T>(string field, string text, params ReadOnlySpan<T> allowed) where T : struct, Enum
    {
        T[] choices = allowed.IsEmpty ? Enum.GetValues<T>() : allowed.ToArray();
        foreach (T choice in choices)
        {
            if (Word(choice) == text)
                return choice;
        }
        throw AdminRequest.Bad($"{field} is '{text}': one of {string.Join(", ", choices.Select(Word))} is expected");
    }

    public static AccountKey Key(string? level, string? name)
    {
        Level known = Choice<Level>("level", level ?? throw AdminRequest.Bad("level is missing"));
        if (known == Level.Server)
            return AccountKey.Server;
        return new AccountKey(known, name is { Length: > 0 } ? name : throw AdminRequest.Bad($"the name of the {level} is missing"));
    }

    /// <summary>When and how a login was used last.</summary>
    public static void Add(JsonObject login, IdentityUse use)
    {
        login["lastUse"] = TimeOrNull(use.LastUse);
        login["uses"] = use.Uses;
        login["lastFailure"] = TimeOrNull(use.LastFailure);
        login["failures"] = use.Failures;
        login["addresses"] = new JsonArray([.. use.Addresses.Select(static a => (JsonNode)a)]);
    }

    public static string? TimeOrNull(DateTimeOffset? time) => time is { } at ? Time(at) : null;

    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ");
}
