using System.Text;
using RelayGate.Core.Notices;

namespace RelayGate.Core.Tests.Notices;

public sealed class WebhookSecretTests
{
    [Fact]
    public void The_example_of_the_specification_has_its_signature()
    {
        byte[] key = WebhookSecret.Parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")!;

        string signature = WebhookSecret.Sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, Encoding.UTF8.GetBytes("""{"test": 2432232314}"""));

        Assert.Equal("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signature);
    }

    [Theory]
    [InlineData("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whsec_")]
    [InlineData("whsec_c2hvcnQ=")]
    [InlineData("whsec_not base64 at all, and long enough")]
    public void What_is_no_secret_is_not_taken(string text) => Assert.Null(WebhookSecret.Parse(text));

    [Fact]
    public void A_secret_is_read_as_it_was_written()
    {
        byte[] key = [.. Enumerable.Range(0, 32).Select(static i => (byte)i)];

        Assert.Equal(key, WebhookSecret.Parse(WebhookSecret.Write(key)));
    }
}
