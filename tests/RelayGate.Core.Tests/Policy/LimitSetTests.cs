using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

public class LimitSetTests
{
    [Theory]
    [InlineData("200/h", "200/h")]
    [InlineData(" 1/d ", "1/d")]
    [InlineData("1000/d:rcpt,200/h", "1000/d:rcpt,200/h")]
    [InlineData("1000000000000/h:rcpt", "1000000000000/h:rcpt")]
    [InlineData("unlimited", "unlimited")]
    [InlineData("forbidden", "forbidden")]
    public void Limits_are_read_as_they_are_written(string text, string written)
    {
        Assert.True(LimitSet.TryParse(text, out LimitSet? limits));
        Assert.Equal(written, limits.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")] // "Forbidden" to some, "unlimited" to others.
    [InlineData("0/h")]
    [InlineData("-1/h")]
    [InlineData("+1/h")]
    [InlineData("200")]
    [InlineData("200/")]
    [InlineData("/h")]
    [InlineData("200/m")]
    [InlineData("200/H")]
    [InlineData("1,000/h")]
    [InlineData("200/h,")]
    [InlineData("200/h unlimited")]
    [InlineData("200/h:rcpts")]
    [InlineData("1000000000001/h")]
    [InlineData("99999999999999999999/h")]
    [InlineData("٣/h")]
    [InlineData("Unlimited")]
    public void Anything_else_is_no_limit(string text) => Assert.False(LimitSet.TryParse(text, out _));

    [Fact]
    public void What_is_written_reads_back_the_same() =>
        Prop.ForAll(
            (from count in Gen.Choose(1, int.MaxValue)
             from unit in Gen.Elements(Enum.GetValues<LimitUnit>())
             from window in Gen.Elements(Enum.GetValues<LimitWindow>())
             select new Limit(count, unit, window)).NonEmptyListOf().ToArbitrary(),
            limits => LimitSet.TryParse(string.Join(',', limits), out LimitSet? read) && read.Limits.SequenceEqual(limits))
            .QuickCheckThrowOnFailure();

    [Fact]
    public void No_text_throws() =>
        Prop.ForAll<NonNull<string>>(text => LimitSet.TryParse(text.Item, out LimitSet? limits) == (limits is not null)).QuickCheckThrowOnFailure();
}
