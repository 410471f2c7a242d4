using System.Net;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>The stored form of an <see cref="EgressChoice"/>: its parts between tabs, which neither addresses nor names hold.</summary>
internal static class EgressText
{
    private const string System = "system";

    public static string Format(EgressChoice egress) => string.Join(
        '\t', egress.Why, egress.IsSystemDefault ? System : "", egress.Helo,
        egress.IPv4?.Address.ToString(), egress.IPv4?.Helo, egress.IPv6?.Address.ToString(), egress.IPv6?.Helo);

    /// <exception cref="FormatException">Not written by <see cref="Format"/>.</exception>
    public static EgressChoice Parse(string text)
    {
        string[] parts = text.Split('\t');
        if (parts.Length != 7)
            throw new FormatException("A stored egress choice has 7 parts");
        return new EgressChoice(Address(parts[3], parts[4]), Address(parts[5], parts[6]), parts[2], parts[0], parts[1] == System);
    }

    /// <summary>Whether a stored choice still is the one that a message in memory was read or made with: no order has changed it.</summary>
    public static bool IsStill(string stored, EgressChoice egress)
    {
        string text = Format(egress);
        return stored == text || Format(Parse(stored)) == text;
    }

    private static EgressAddress? Address(string address, string helo) => address.Length == 0 ? null : new EgressAddress(IPAddress.Parse(address), helo);

    /// <summary>Addresses with their names, and why, in one line.</summary>
    public static string ForPeople(EgressChoice egress)
    {
        List<string> parts = [.. new[] { egress.IPv4, egress.IPv6 }.OfType<EgressAddress>().Select(a => a.ToString())];
        if (egress.IsSystemDefault)
            parts.Add($"{(parts.Count == 0 ? "" : "else ")}{SystemChoice.Words} ({egress.Helo})");
        return string.Join(", ", [.. parts, egress.Why]);
    }
}
