using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Tests.Mail;

public class QueueIdTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 23, 12, 34, 56, 789, TimeSpan.Zero);

    [Fact]
    public void Text_and_octets_lead_back_to_the_id() =>
        Prop.ForAll<ushort, ulong>((high, low) =>
        {
            var id = QueueId.Create(At, high, low);
            return QueueId.TryParse(id.ToString(), out QueueId read) && read == id && QueueId.FromBytes(id.ToBytes()) == id
                && QueueId.TryParse(id.ToString().ToLowerInvariant(), out read) && read == id && id.Timestamp == At;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Later_ids_sort_behind_earlier_ones_as_text_too()
    {
        var earlier = QueueId.Create(At, ushort.MaxValue, ulong.MaxValue);
        var later = QueueId.Create(At.AddMilliseconds(1), 0, 0);

        Assert.True(earlier < later);
        Assert.True(string.CompareOrdinal(earlier.ToString(), later.ToString()) < 0);
    }

    [Theory]
    [InlineData("")]
    [InlineData("01K3ZC9V7M")]
    [InlineData("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")] // More than 128 bits.
    [InlineData("01K3ZC9V7MIIIIIIIIIIIIIIII")] // No letter of the alphabet.
    public void Other_text_is_no_id(string text) => Assert.False(QueueId.TryParse(text, out _));
}
