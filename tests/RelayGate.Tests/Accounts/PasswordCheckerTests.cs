using RelayGate.Accounts;

namespace RelayGate.Tests.Accounts;

public sealed class PasswordCheckerTests : IDisposable
{
    private static readonly string Record = ScramRecord.Create("right", [1, 2, 3, 4, 5, 6, 7, 8], 4096).ToString();

    private readonly PasswordChecker _checker = new(TimeProvider.System);

    public void Dispose() => _checker.Dispose();

    [Fact]
    public void A_record_is_read_back_and_knows_its_password_alone()
    {
        Assert.True(ScramRecord.TryParse(Record, out ScramRecord? record));
        Assert.Equal(Record, record.ToString());
        Assert.True(record.Matches("right"));
        Assert.False(record.Matches("Right"));
    }

    [Fact]
    public void The_record_is_that_of_RFC_7677()
    {
        // RFC 7677 §3 gives user "user", password "pencil", this salt and 4096 iterations; its proof verifies against this StoredKey.
        string record = ScramRecord.Create("pencil", Convert.FromBase64String("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096).ToString();

        Assert.Equal("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", record);
    }

    [Theory]
    [InlineData("")]
    [InlineData("SCRAM-SHA-1$4096:AAAA$AAAA:AAAA")]
    [InlineData("SCRAM-SHA-256$1:AAAAAAAAAAA=$AAAA:AAAA")]
    [InlineData("SCRAM-SHA-256$4096:!!$AAAA:AAAA")]
    [InlineData("SCRAM-SHA-256$4096:AAAAAAAAAAA=$AAAA")]
    public void Junk_is_no_record(string text) => Assert.False(ScramRecord.TryParse(text, out _));

    [Fact]
    public async Task A_verified_login_costs_no_second_hash_and_a_wrong_one_always_does()
    {
        Assert.Equal(AuthenticationOutcome.Accepted, await CheckAsync("a@x.test", "right", Record));
        Assert.Equal(AuthenticationOutcome.Accepted, await CheckAsync("a@x.test", "right", Record));
        Assert.Equal(1, _checker.Hashes);

        Assert.Equal(AuthenticationOutcome.Rejected, await CheckAsync("a@x.test", "wrong", Record));
        Assert.Equal(AuthenticationOutcome.Rejected, await CheckAsync("a@x.test", "wrong", Record));
        Assert.Equal(AuthenticationOutcome.Rejected, await CheckAsync("nobody@x.test", "right", null));
        Assert.Equal(4, _checker.Hashes);
    }

    [Fact]
    public async Task A_changed_record_is_not_matched_by_what_was_verified_before()
    {
        await CheckAsync("a@x.test", "right", Record);

        string changed = ScramRecord.Create("other", [1, 2, 3, 4, 5, 6, 7, 8], 4096).ToString();

        Assert.Equal(AuthenticationOutcome.Rejected, await CheckAsync("a@x.test", "right", changed));
        Assert.Equal(AuthenticationOutcome.Accepted, await CheckAsync("a@x.test", "other", changed));
    }

    [Fact]
    public async Task Many_sessions_with_one_login_and_password_share_one_hash()
    {
        string slow = ScramRecord.Create("right").ToString();

        AuthenticationOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => CheckAsync("a@x.test", "right", slow)));

        Assert.All(outcomes, o => Assert.Equal(AuthenticationOutcome.Accepted, o));
        Assert.Equal(1, _checker.Hashes);
    }

    [Fact]
    public async Task A_forgotten_login_is_hashed_again()
    {
        await CheckAsync("a@x.test", "right", Record);
        _checker.Forget("a@x.test");
        await CheckAsync("a@x.test", "right", Record);

        Assert.Equal(2, _checker.Hashes);
    }

    [Fact]
    public void The_system_knows_root_by_name_and_number()
    {
        Assert.True(SystemUserDatabase.TryFind("root", out SystemUserEntry? byName));
        Assert.True(SystemUserDatabase.TryFind(0, out SystemUserEntry? byUid));
        Assert.Equal(byName, byUid);
        Assert.Equal(0, byName.Uid);
        Assert.False(SystemUserDatabase.TryFind("no-such-user-here", out _));
        Assert.False(SystemUserDatabase.TryFind(1_987_654_321, out _));
    }

    private async Task<AuthenticationOutcome> CheckAsync(string login, string password, string? record) =>
        (await _checker.CheckAsync(login, password, record, null, CancellationToken.None)).Outcome;
}
