using System.Globalization;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>The stored form of what held messages wait for.</summary>
internal static class HoldKey
{
    /// <summary>Level number and name, with a blank between them.</summary>
    public static string Of(AccountKey key) => string.Create(CultureInfo.InvariantCulture, $"{(int)key.Level} {key.Name}");

    public static AccountKey Parse(string text) => new((Level)(text[0] - '0'), text[2..]);
}
