using RelayGate.Accounts;

namespace RelayGate.Tests.Accounts;

public sealed class ScramExchangeTests
{
    // RFC 7677 §3.
    private const string ClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    private const string ServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    private const string ServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    private const string ClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    private const string ServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    private static readonly byte[] Salt = Convert.FromBase64String("W22ZaJ0SNY7soEsUEjb6gQ==");

    [Fact]
    public void The_exchange_is_that_of_RFC_7677()
    {
        ScramExchange exchange = ScramExchange.Begin(ClientFirst)!;

        Assert.Equal("user", exchange.Login);
        Assert.Equal(ServerFirst, exchange.Challenge(Login("pencil"), ServerNonce));
        Assert.Equal(AuthenticationOutcome.Accepted, exchange.Finish(ClientFinal, out string signature)!.Value.Outcome);
        Assert.Equal(ServerFinal, signature);
    }

    [Theory]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=")] // Proof.
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")] // Nonce.
    [InlineData("c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")] // "y,," where "n,," was said.
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=AAAA")]
    public void What_does_not_fit_proves_nothing(string final)
    {
        ScramExchange exchange = Challenged("pencil");

        Assert.Equal(AuthenticationOutcome.Rejected, exchange.Finish(final, out string signature)!.Value.Outcome);
        Assert.Empty(signature);
    }

    [Fact]
    public void The_right_proof_of_another_password_or_of_a_login_that_does_not_exist_is_wrong()
    {
        Assert.Equal(AuthenticationOutcome.Rejected, Challenged("other").Finish(ClientFinal, out _)!.Value.Outcome);
        ScramExchange exchange = ScramExchange.Begin(ClientFirst)!;
        exchange.Challenge(new ScramLogin(new KnownLogin("user", null), ScramRecord.Create("pencil", Salt, 4096), null), ServerNonce);
        Assert.Equal(AuthenticationOutcome.Rejected, exchange.Finish(ClientFinal, out _)!.Value.Outcome);
    }

    [Fact]
    public void The_password_before_is_proved_as_well_while_it_is_valid()
    {
        ScramExchange exchange = ScramExchange.Begin(ClientFirst)!;
        var known = new KnownLogin("user", "any");
        exchange.Challenge(new ScramLogin(known, ScramRecord.Create("next", Salt, 4096), ScramRecord.Create("pencil", Salt, 4096)), ServerNonce);

        Assert.Equal(new PasswordCheck(AuthenticationOutcome.Accepted, IsPrevious: true), exchange.Finish(ClientFinal, out string signature));
        Assert.Equal(ServerFinal, signature);
    }

    [Theory]
    [InlineData("y,,n=user,r=abc", "user")] // The client could bind, and we offer no PLUS.
    [InlineData("n,a=user,n=user,r=abc", "user")]
    [InlineData("n,,n=a=2Cb=3Dc,r=abc", "a,b=c")]
    [InlineData("n,,n=user,r=abc,x=extension", "user")]
    public void First_messages_are_read(string message, string login) => Assert.Equal(login, ScramExchange.Begin(message)!.Login);

    [Theory]
    [InlineData("")]
    [InlineData("n,,")]
    [InlineData("p=tls-unique,,n=user,r=abc")]
    [InlineData("x,,n=user,r=abc")]
    [InlineData("n,a=other,n=user,r=abc")] // In another's name.
    [InlineData("n,,n=,r=abc")]
    [InlineData("n,,n=us=er,r=abc")]
    [InlineData("n,,n=us=2cer,r=abc")]
    [InlineData("n,,n=user,r=")]
    [InlineData("n,,n=user,r=a b")]
    [InlineData("n,,n=user,r=\u00e4")]
    [InlineData("n,,n=user")]
    [InlineData("n,,m=must,n=user,r=abc")]
    [InlineData("n,n=user,r=abc")]
    public void Malformed_first_messages_are_refused(string message) => Assert.Null(ScramExchange.Begin(message));

    [Fact]
    public void A_nonce_has_its_bound()
    {
        Assert.NotNull(ScramExchange.Begin("n,,n=user,r=" + new string('x', ScramExchange.MaxNonce)));
        Assert.Null(ScramExchange.Begin("n,,n=user,r=" + new string('x', ScramExchange.MaxNonce + 1)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("c=biws")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=!!")]
    [InlineData("c=!!,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzb")]
    [InlineData("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,c=biws,p=dHzb")]
    [InlineData("c=biws,r=abc,p=dHzb,x=behind-the-proof")]
    public void Malformed_final_messages_are_refused(string message) => Assert.Null(Challenged("pencil").Finish(message, out _));

    private static ScramExchange Challenged(string password)
    {
        ScramExchange exchange = ScramExchange.Begin(ClientFirst)!;
        exchange.Challenge(Login(password), ServerNonce);
        return exchange;
    }

    private static ScramLogin Login(string password)
    {
        ScramRecord record = ScramRecord.Create(password, Salt, 4096);
        return new ScramLogin(new KnownLogin("user", record.ToString()), record, null);
    }
}
