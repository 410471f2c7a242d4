using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Tests.Messages;

public sealed class AddressListTests
{
    [Theory]
    [InlineData("a@x.test", "a@x.test")]
    [InlineData(" a@x.test,\r\n\tB <b@x.test> , <c@x.test>\r\n", "a@x.test|b@x.test|c@x.test")]
    [InlineData("\"Doe, John\" <j@x.test>, (a, comment) k@x.test (another)", "j@x.test|k@x.test")]
    [InlineData("undisclosed-recipients:;", "")]
    [InlineData("Team: a@x.test, b@x.test;, c@x.test", "a@x.test|b@x.test|c@x.test")]
    [InlineData("root, www-data", "root|www-data")]
    [InlineData("a @ x . test", "a@x.test")]
    [InlineData("\"a b\"@x.test", "\"a b\"@x.test")]
    [InlineData("<@r.test,@s.test:a@x.test>", "a@x.test")]
    [InlineData("John Doe", "John Doe")]
    [InlineData(",, ;", "")]
    [InlineData("<>", "")]
    [InlineData("a@[192.0.2.1]", "a@[192.0.2.1]")]
    [InlineData("ü@bücher.test", "ü@bücher.test")]
    [InlineData("-oQ/tmp@x.test", "-oQ/tmp@x.test")]
    public void Mailboxes_are_taken_out_of_the_list(string value, string addresses) =>
        Assert.Equal(addresses, string.Join('|', AddressList.Read(Encoding.UTF8.GetBytes(value))));
}
