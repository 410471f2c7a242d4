using System.Globalization;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>The stored form of what held messages wait for.</summary>
internal static class HoldKey
{
    /// <summary>Level number, with that of the class behind it where there is one, and name, with a blank between them.</summary>
    public static string Of(AccountKey key) => string.Create(CultureInfo.InvariantCulture, $"{(int)key.Level}{(int?)key.Class} {key.Name}");

    public static AccountKey Parse(string text) => text[1] == ' '
        ? new((Level)(text[0] - '0'), text[2..])
        : new((Level)(text[0] - '0'), text[3..], (MessageClass)(text[1] - '0'));
}
