using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.State;

public sealed class TurnsTests
{
    private readonly Turns turns = new();

    [Fact]
    public async Task Whoever_comes_second_waits_for_the_first_and_the_third_for_the_second()
    {
        var first = await turns.TakeAsync();
        var second = turns.TakeAsync().AsTask();
        Assert.False(second.IsCompleted);

        first.Dispose();
        var held = await second.WaitAsync(ClusterFixture.Patience);
        var third = turns.TakeAsync().AsTask();
        Assert.False(third.IsCompleted);

        held.Dispose();
        await third.WaitAsync(ClusterFixture.Patience);
    }

    [Fact]
    public async Task All_who_wait_have_their_turn_and_never_two_at_once()
    {
        var inside = 0;
        var grain = new TaskFactory(new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler);

        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => grain.StartNew(WorkAsync).Unwrap())).WaitAsync(ClusterFixture.Patience);

        async Task WorkAsync()
        {
            using var turn = await turns.TakeAsync();
            Assert.Equal(1, Interlocked.Increment(ref inside));
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        }
    }
}
