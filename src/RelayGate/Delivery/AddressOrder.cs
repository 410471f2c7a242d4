using System.Collections.Immutable;
using System.Net.Sockets;

namespace RelayGate.Delivery;

/// <summary>Puts the addresses of a next hop into the order in which one attempt tries them. Pure.</summary>
internal static class AddressOrder
{
    /// <summary>Addresses tried in one attempt at most; each may cost its time limits. 20.</summary>
    public const int MaxAddresses = 20;

    /// <summary>
    /// Keeps the order of preference, but for a family that does not connect at this site lately: it comes last, and is tried all the same. Of more
    /// addresses than one attempt tries, every host has its share, so that one with many does not keep those behind it from their turn.
    /// </summary>
    /// <param name="isFailing">Whether connections of a family have failed at this site lately.</param>
    public static ImmutableArray<NextHopAddress> Of(ImmutableArray<NextHopAddress> addresses, Func<AddressFamily, bool> isFailing, int most = MaxAddresses)
    {
        if (addresses.Length <= 1)
            return addresses;
        ImmutableArray<NextHopAddress> order = addresses;
        bool fails4 = isFailing(AddressFamily.InterNetwork);
        if (fails4 != isFailing(AddressFamily.InterNetworkV6)) // Where both fail it is the site that does.
        {
            AddressFamily failing = fails4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
            order = [.. order.Where(a => a.EndPoint.AddressFamily != failing), .. order.Where(a => a.EndPoint.AddressFamily == failing)];
        }
        return order.Length <= most ? order : Shares(order, most);
    }

    private static ImmutableArray<NextHopAddress> Shares(ImmutableArray<NextHopAddress> order, int most)
    {
        var rounds = new Dictionary<string, int>();
        // The first of each host, then the second of each, and so on, until there are enough.
        HashSet<NextHopAddress> chosen = [.. order
            .Select(address => (Address: address, Round: rounds[address.Host] = rounds.GetValueOrDefault(address.Host) + 1))
            .OrderBy(static a => a.Round)
            .Take(most)
            .Select(static a => a.Address)];
        return [.. order.Where(chosen.Contains)];
    }
}
