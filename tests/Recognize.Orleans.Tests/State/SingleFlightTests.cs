using Xunit;

namespace Recognize.Orleans.State;

public sealed class SingleFlightTests
{
    private readonly List<TaskCompletionSource<int>> begun = [];
    private readonly SingleFlight<int> reads;

    public SingleFlightTests() => reads = new(() =>
    {
        begun.Add(new(TaskCreationOptions.RunContinuationsAsynchronously));
        return begun[^1].Task;
    });

    [Fact]
    public Task Who_asks_while_nothing_is_on_its_way_gets_a_read_of_their_own() => StoredStateTests.InTurnsAsync(async () =>
    {
        Assert.True(reads.Running.IsCompleted);
        var first = reads.RunAsync();
        begun[0].SetResult(1);
        Assert.Equal(1, await first);

        var second = reads.RunAsync();
        begun[1].SetResult(2);
        Assert.Equal(2, await second);
    });

    [Fact]
    public Task Who_asks_while_a_read_is_on_its_way_shares_the_next_one() => StoredStateTests.InTurnsAsync(async () =>
    {
        var first = reads.RunAsync();
        var (second, third) = (reads.RunAsync(), reads.RunAsync());
        Assert.Single(begun);
        Assert.Same(first, reads.Running);

        begun[0].SetResult(1);
        Assert.Equal(1, await first);
        await Task.Yield();
        Assert.Equal(2, begun.Count);
        var fourth = reads.RunAsync();

        begun[1].SetResult(2);
        Assert.Equal((2, 2), (await second, await third));
        await Task.Yield();
        begun[2].SetResult(3);
        Assert.Equal(3, await fourth);
        Assert.Equal(3, begun.Count);
    });

    [Fact]
    public Task Who_asks_when_a_read_has_just_ended_shares_the_one_that_has_not_begun() => StoredStateTests.InTurnsAsync(async () =>
    {
        var first = reads.RunAsync();
        var second = reads.RunAsync();

        // In one turn: those who wait for the next one have not been woken yet.
        begun[0].SetResult(1);
        var third = reads.RunAsync();
        Assert.Single(begun);

        await first;
        await Task.Yield();
        begun[1].SetResult(2);
        Assert.Equal((2, 2), (await second, await third));
        Assert.Equal(2, begun.Count);
    });

    [Fact]
    public Task A_read_that_fails_is_not_the_fault_of_the_next() => StoredStateTests.InTurnsAsync(async () =>
    {
        var first = reads.RunAsync();
        var second = reads.RunAsync();

        begun[0].SetException(new IOException("Cut."));
        await Assert.ThrowsAsync<IOException>(() => first);
        await Task.Yield();
        begun[1].SetResult(2);

        Assert.Equal(2, await second);
    });

    [Fact]
    public Task A_read_that_throws_before_it_waits_fails_its_caller_and_leaves_the_next_one_alone() => StoredStateTests.InTurnsAsync(async () =>
    {
        var answers = new Queue<Func<Task<int>>>([() => throw new IOException("Cut."), () => Task.FromResult(2)]);
        var throwing = new SingleFlight<int>(() => answers.Dequeue()());

        await Assert.ThrowsAsync<IOException>(() => throwing.RunAsync());

        Assert.Equal(2, await throwing.RunAsync());
    });
}
