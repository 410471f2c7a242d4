using System.Text;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>
/// Plays the <see cref="MisbehaviourCatalogue"/> in every way a next hop may be spoken to. Each time: the outcome of each recipient, what the next hop
/// took, that no session is left in doubt, and that the next message to the same next hop gets its own replies.
/// </summary>
public sealed class MisbehaviourCatalogueTests
{
    private const string Next = "The next one\r\n";

    public static IEnumerable<object[]> EveryStage => MisbehaviourCatalogue.AtEveryStage.SelectMany(_ => ModesOf(HopMode.All), object[] (m, mode) => [m.Name, mode]);

    public static IEnumerable<object[]> Special => MisbehaviourCatalogue.Special.SelectMany(m => ModesOf(m.Modes), object[] (m, mode) => [m.Name, mode]);

    [Theory]
    [MemberData(nameof(EveryStage))]
    public async Task At_every_stage(string name, HopMode mode)
    {
        (_, string expected, bool waits, Func<string, HopAction> act) = MisbehaviourCatalogue.AtEveryStage.First(m => m.Name == name);
        foreach (string stage in MisbehaviourCatalogue.Stages)
        {
            if (mode == HopMode.Chunked && stage == "DATA")
                continue;
            HopAction action = act(stage switch { "connect" => "220", "DATA" => "354", _ => "250" });
            await PlayAsync(new Misbehaviour($"{name} at {stage}", expected, e => e.Verb == stage ? action : null) { Waits = waits, Copies = null }, mode);
        }
    }

    [Theory]
    [MemberData(nameof(Special))]
    public Task At_one_stage(string name, HopMode mode) => PlayAsync(MisbehaviourCatalogue.Special.First(m => m.Name == name), mode);

    [Fact]
    public void The_catalogue_has_no_name_twice() =>
        Assert.Distinct(MisbehaviourCatalogue.AtEveryStage.Select(m => m.Name).Concat(MisbehaviourCatalogue.Special.Select(m => m.Name)));

    private static IEnumerable<HopMode> ModesOf(HopMode modes) => Enum.GetValues<HopMode>().Where(m => m is not (HopMode.All or HopMode.WithData) && modes.HasFlag(m));

    private static async Task PlayAsync(Misbehaviour misbehaviour, HopMode mode)
    {
        var acted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using FakeNextHop hop = misbehaviour.Play(mode);
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time, o => o.Delivery.Timeouts.Connect = TimeSpan.FromDays(1));
        if (mode == HopMode.Chunked)
            await KeepStepAsync(hop, harness);
        hop.Script = e =>
        {
            HopAction? action = misbehaviour.Script(e);
            if (action is not null)
                acted.TrySetResult();
            return action;
        };
        DeliveryJob job = DeliveryHarness.Job(misbehaviour.Body, [.. misbehaviour.Recipients]);

        AttemptResult result = misbehaviour.Waits ? await harness.AttemptUntilOverAsync(time, acted.Task, TimeSpan.FromMinutes(4), job) : await harness.AttemptAsync(job);

        string[] expected = misbehaviour.Expected.Split(' ');
        Assert.All(result.Outcomes, (o, i) => Assert.True(
            Misbehaviour.Fits(expected[i % expected.Length], o!.Kind, o.Status), $"{misbehaviour.Name}, {mode}, {misbehaviour.Recipients[i]}: {o.Kind} {o.Status} {o.Text}"));
        Assert.All(result.Outcomes, o => Assert.DoesNotContain(o!.Text, char.IsControl));
        Assert.All(result.Outcomes, o => Assert.InRange(o!.Text.Length, 1, 520));
        if (misbehaviour.CopiesDue is { } copies)
            Assert.Equal((misbehaviour.Name, copies), (misbehaviour.Name, Bodies(hop).Count(b => b == misbehaviour.Body)));
        Assert.InRange(harness.Pool.Open, 0, 1);

        hop.Script = _ => null;
        RecipientOutcome next = (await harness.AttemptAsync(Next, "z@dest.test")).Outcomes[0]!;
        Assert.True(Misbehaviour.Fits(misbehaviour.Afterwards, next.Kind, next.Status), $"After: {misbehaviour.Name}, {mode}: {next.Kind} {next.Status} {next.Text}");
        if (next.Kind == OutcomeKind.Delivered)
        {
            Assert.Contains("queued as", next.Text, StringComparison.Ordinal);
            ReceivedMessage received = Assert.Single(hop.Messages, m => Encoding.Latin1.GetString(m.Content) == DeliveryHarness.Header + Next);
            Assert.Equal(["RCPT TO:<z@dest.test>"], received.Rcpts);
        }
        harness.Pool.CloseIdle();
        Assert.Equal(0, harness.Pool.Open);
    }

    /// <summary>The next hop behaves for one message.</summary>
    private static async Task KeepStepAsync(FakeNextHop hop, DeliveryHarness harness)
    {
        hop.Script = static _ => null;
        await harness.AttemptAsync("The first one\r\n", "y@dest.test");
        harness.Pool.CloseIdle();
    }

    private static IEnumerable<string> Bodies(FakeNextHop hop) =>
        hop.Messages.Select(m => Encoding.Latin1.GetString(m.Content)).Where(t => t.StartsWith(DeliveryHarness.Header, StringComparison.Ordinal)).Select(t => t[DeliveryHarness.Header.Length..]);
}
