using RelayGate.Storage;

namespace RelayGate.Tests.Storage;

public class WalCheckpointerTests
{
    [Theory]
    [InlineData(0, 5, 5)]
    [InlineData(int.MaxValue - 1, 3, 5)] // SQLite's counter begins again at 0 after 2^31 pages.
    [InlineData(7, 7, 0)]
    public void Pages_are_counted_on_when_the_counter_begins_again(int before, int now, int pages) =>
        Assert.Equal(pages, WalCheckpointer.PagesSince(before, now));
}
