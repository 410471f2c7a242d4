using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Who is said to send much more than usual.</summary>
public sealed class ScriptBurstsTests : IDisposable
{
    private static readonly ScriptOptions Options = new() { BurstMessages = 10 };

    private readonly QueueFixture _queue = new();
    private readonly List<ScriptBurst> _found = [];
    private readonly ScriptBursts _bursts;

    public ScriptBurstsTests()
    {
        _bursts = new ScriptBursts(Options, _queue.Time);
        _bursts.Found += _found.Add;
    }

    public void Dispose() => _queue.Dispose();

    [Fact]
    public async Task Those_who_share_a_uid_are_watched_apart()
    {
        await SendAsync("acme", "mail.php", 8);
        await SendAsync("beta", "mail.php", 8);
        Assert.Empty(_found);

        await SendAsync("beta", "mail.php", 8);

        ScriptBurst burst = Assert.Single(_found);
        Assert.Equal(("mail.php", "beta", 16), (burst.Key.Script, burst.Subscription, burst.Messages));
    }

    [Fact]
    public async Task What_another_of_the_same_uid_usually_sends_is_not_what_this_one_does()
    {
        long hour = UsageHistory.HourOf(_queue.Time.GetUtcNow()) - 5;
        await _queue.Writer.WriteAsync(db => db.Execute(
            $"insert into script_hour values ({hour}, 33, 'mail.php', 'acme', 6000, 6000, 0, 0, 0, null, 0, 0, 0)"));

        await SendAsync("acme", "mail.php", 100);
        await SendAsync("beta", "mail.php", 100);

        Assert.Equal(("beta", 0), (Assert.Single(_found).Subscription, _found[0].Usual));
    }

    [Fact]
    public async Task A_burst_that_was_told_does_not_hide_one_of_new_names_behind_it()
    {
        await SendAsync("acme", "a.php", 11);
        for (int i = 0; i < 11; i++)
            await SendAsync("acme", $"{i}.php", 1);
        await SendAsync("acme", "a.php", 50);

        Assert.Equal([("a.php", 11), (ScriptKey.Any, 11)], _found.Select(static b => (b.Key.Script, b.Messages)));
    }

    [Fact]
    public async Task Many_names_of_one_user_leave_room_for_others()
    {
        await _queue.Store.ReadRawAsync(
            connection =>
            {
                for (int i = 0; i < ScriptBursts.MaxWatched + 10; i++)
                    _bursts.Add([new ScriptSent(new ScriptKey(1, $"{i}.php"), "acme", 1)], connection);
                return true;
            },
            default);
        _found.Clear();

        await SendAsync("beta", "mail.php", 11);

        Assert.Equal("mail.php", Assert.Single(_found).Key.Script);
    }

    private Task<bool> SendAsync(string subscription, string script, int messages) => _queue.Store.ReadRawAsync(
        connection =>
        {
            _bursts.Add([new ScriptSent(new ScriptKey(33, script), subscription, messages)], connection);
            return true;
        },
        default);
}
