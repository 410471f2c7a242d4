using System.Collections.Immutable;
using RelayGate.Core.Dns;

namespace RelayGate.Core.Tests.Dns;

public class MxSelectionTests
{
    [Fact]
    public void Lower_preference_comes_first_and_equals_are_shuffled()
    {
        ImmutableArray<MxRecord> records = [Mx(20, "c"), Mx(10, "a"), Mx(10, "b"), Mx(5, "first")];

        string[] orders = [.. Enumerable.Range(0, 50).Select(r => string.Join(' ', MxSelection.Order("dest.test", records, (ulong)r * 7919).Names)).Distinct().Order()];

        Assert.Equal(["first a b c", "first b a c"], orders);
    }

    [Fact]
    public void Null_MX_refuses_and_no_MX_means_the_domain_itself()
    {
        Assert.Equal(MxOutcome.NullMx, MxSelection.Order("dest.test", [Mx(0, "")], 1).Outcome);
        Assert.Equal(["dest.test"], MxSelection.Order("dest.test", [], 1).Names.AsEnumerable());
        Assert.Equal(["a"], MxSelection.Order("dest.test", [Mx(0, ""), Mx(10, "a")], 1).Names.AsEnumerable());
    }

    [Fact]
    public void Hosts_are_named_once_and_their_number_is_bounded()
    {
        Assert.Equal(["a", "b"], MxSelection.Order("d", [Mx(10, "a"), Mx(20, "b"), Mx(30, "a")], 1).Names.AsEnumerable());
        Assert.Equal(MxSelection.MaxHosts, MxSelection.Order("d", [.. Enumerable.Range(0, 500).Select(i => Mx(10, $"h{i}"))], 1).Names.Length);
    }

    private static MxRecord Mx(ushort preference, string exchange) => new("dest.test", 300, preference, exchange);
}
