using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;
using Orleans.Storage;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.State;

// What a grain knows of its row, with nothing between it and a storage that can be held. The test is the grain: its calls interleave, one at a time.
public sealed class StoredStateTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    private readonly FakeTimeProvider clock = new();
    private readonly HeldStorage storage = new();
    private readonly Freshness freshness;
    private readonly StoredState<Row> state;
    private GrainState<Row> read = new(new());
    private Func<Row, bool> isFinal = row => row.Text == "final";

    public StoredStateTests()
    {
        freshness = new(clock);
        state = new(GrainId.Create("operation", "op/acme/1/"), storage, "operation", row => isFinal(row), freshness);
    }

    [Fact]
    public Task What_may_still_change_is_known_for_five_seconds_and_not_longer() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        Assert.Equal("pending", await ReadAsync());

        storage.Stored = "by another";
        clock.Advance(TimeSpan.FromSeconds(5) - Tick);
        Assert.Equal("pending", await ReadAsync());

        clock.Advance(Tick);
        Assert.Equal("by another", await ReadAsync());
        Assert.Equal(2, storage.Reads);
    });

    [Fact]
    public Task Its_age_counts_from_when_the_read_was_sent() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        var held = storage.HoldRead();
        var read = ReadAsync();
        clock.Advance(TimeSpan.FromSeconds(4));
        held.Release();
        await read;

        clock.Advance(TimeSpan.FromSeconds(1));
        storage.Stored = "by another";
        Assert.Equal("by another", await ReadAsync());
    });

    [Fact]
    public Task Its_age_counts_from_when_its_own_write_was_sent() => InTurnsAsync(async () =>
    {
        await ReadAsync();
        var held = storage.HoldWrite(Held.AfterItsCommit);
        var write = TryWriteAsync(new("pending"));
        clock.Advance(TimeSpan.FromSeconds(4));
        held.Release();
        Assert.True(await write);
        Assert.Equal("pending", await ReadAsync());
        Assert.Equal(1, storage.Reads);

        clock.Advance(TimeSpan.FromSeconds(1));
        storage.Stored = "by another";
        Assert.Equal("by another", await ReadAsync());
    });

    [Fact]
    public Task What_is_final_is_known_for_ever() => InTurnsAsync(async () =>
    {
        storage.Stored = "final";
        await ReadAsync();

        clock.Advance(TimeSpan.FromDays(365));

        Assert.Equal("final", await ReadAsync());
        Assert.Equal(1, storage.Reads);
    });

    [Fact]
    public Task What_is_final_no_longer_is_read_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "final";
        await ReadAsync();
        clock.Advance(TimeSpan.FromDays(30));
        storage.Stored = null;

        isFinal = _ => false;

        Assert.Null(await ReadAsync());
    });

    [Fact]
    public Task That_there_is_no_row_is_never_known() => InTurnsAsync(async () =>
    {
        Assert.Null(await ReadAsync());

        storage.Stored = "by another";
        Assert.Equal("by another", await ReadAsync());
    });

    [Fact]
    public Task A_row_that_was_deleted_is_read_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "final";
        await ReadAsync();

        Assert.True(await state.TryDeleteAsync(read));
        read = new(new());
        Assert.Null(await ReadAsync());

        Assert.True(await TryWriteAsync(new("anew")));
        Assert.Equal(("anew", "1"), (await ReadAsync(), storage.Version));
    });

    [Fact]
    public Task A_process_that_was_frozen_knows_nothing_that_may_change_until_it_has_looked_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        freshness.DatabaseAnswered(Stopwatch.GetTimestamp() - (4 * Stopwatch.Frequency));

        storage.Stored = "by another";
        Assert.Equal("by another", await ReadAsync());
        Assert.Equal("by another", await ReadAsync());
        Assert.Equal(3, storage.Reads);

        freshness.DatabaseAnswered(Stopwatch.GetTimestamp());
        Assert.Equal("by another", await ReadAsync());
        Assert.Equal(3, storage.Reads);
    });

    [Fact]
    public Task While_a_write_is_on_its_way_every_call_is_answered_by_a_read_that_began_after_it() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        var held = storage.HoldWrite(Held.BeforeItsCommit);
        var write = TryWriteAsync(new("final"));

        Assert.Equal("pending", await ReadAsync());
        Assert.Equal("pending", await ReadAsync());
        Assert.Equal(3, storage.Reads);

        var early = storage.HoldRead();
        var first = ReadAsync();
        var second = ReadAsync();
        var third = ReadAsync();
        held.Release();
        Assert.True(await write);
        early.Release();

        // The read that was held has seen the row as it was; the write has been answered since.
        Assert.All(await Task.WhenAll(first, second, third), found => Assert.Equal("final", found));
        Assert.Equal(4, storage.Reads);
    });

    [Fact]
    public Task While_a_write_is_on_its_way_a_call_does_not_take_what_a_read_has_found_that_began_before_it() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        var held = storage.HoldWrite(Held.AfterItsCommit);
        var (early, late) = (storage.HoldRead(), storage.HoldRead());
        clock.Advance(TimeSpan.FromSeconds(5));
        var first = ReadAsync();
        var write = TryWriteAsync(new("still pending"));
        var second = ReadAsync();

        early.Release();
        Assert.Equal("pending", await first);
        await late.Reached;
        Assert.False(second.IsCompleted);

        late.Release();
        Assert.Equal("still pending", await second);
        held.Release();
        Assert.True(await write);
    });

    [Fact]
    public Task A_read_that_began_before_a_write_was_answered_leaves_what_the_write_has_left() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        clock.Advance(TimeSpan.FromSeconds(5));
        var early = storage.HoldRead();
        var read = ReadAsync();

        Assert.True(await TryWriteAsync(new("still pending")));
        early.Release();

        Assert.Equal("still pending", await read);
        Assert.Equal("still pending", await ReadAsync());
        Assert.True(await TryWriteAsync(new("final")));
        Assert.Equal(("final", "3"), (storage.Stored, storage.Version));
    });

    [Theory]
    [InlineData(Held.BeforeItsCommit)]
    [InlineData(Held.AfterItsCommit)]
    public Task For_ten_seconds_after_a_write_without_an_answer_every_call_is_answered_by_a_read_that_began_after_it(Held moment) => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        var held = storage.HoldWrite(moment);
        var write = TryWriteAsync(new("still pending"));
        clock.Advance(TimeSpan.FromSeconds(3));
        held.Fail(new StorageFaultException("Cut.", mayBeWritten: true));
        await Assert.ThrowsAsync<StorageFaultException>(() => write);
        Assert.Equal(storage.Stored, await ReadAsync());
        Assert.Equal(storage.Stored, await ReadAsync());
        Assert.Equal(3, storage.Reads);

        // It comes to the database after all.
        clock.Advance(TimeSpan.FromSeconds(10) - Tick);
        storage.Stored = "late";
        Assert.Equal("late", await ReadAsync());
        Assert.Equal("late", await ReadAsync());
        Assert.Equal(5, storage.Reads);

        clock.Advance(Tick);
        Assert.Equal("late", await ReadAsync());
        await ReadAsync();
        Assert.InRange(storage.Reads, 5, 6);
    });

    [Fact]
    public Task What_is_final_is_told_although_a_write_is_without_an_answer() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        var held = storage.HoldWrite(Held.AfterItsCommit);
        var write = TryWriteAsync(new("final"));
        held.Fail(new StorageFaultException("Cut.", mayBeWritten: true));
        await Assert.ThrowsAsync<StorageFaultException>(() => write);

        Assert.Equal("final", await ReadAsync());
        Assert.Equal("final", await ReadAsync());
        Assert.Equal(2, storage.Reads);
    });

    [Fact]
    public Task A_write_that_was_refused_for_certain_unsettles_nothing() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        Exception[] refusals = [new StorageBusyException(), new SiloFencedException(), StorageFaultException.Refused("Late.")];

        await FailAsync(refusals[0]);
        await FailAsync(refusals[1]);
        await FailAsync(refusals[2]);

        Assert.Equal("pending", await ReadAsync());
        Assert.Equal(1, storage.Reads);
    });

    [Fact]
    public Task A_write_that_comes_after_another_writes_nothing_and_what_is_told_is_read_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        storage.Stored = "final";

        Assert.False(await TryWriteAsync(new("mine")));

        Assert.Equal(("final", "final"), (await ReadAsync(), storage.Stored));
        Assert.Equal(2, storage.Reads);
    });

    [Fact]
    public Task A_write_compares_the_version_that_its_rule_looked_at_whatever_was_read_meanwhile() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        var looked = await state.ReadRowAsync();
        storage.Stored = "final";
        clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("final", await ReadAsync());

        Assert.False(await state.TryWriteAsync(looked, new("mine")));

        Assert.Equal(("final", "final"), (await ReadAsync(), storage.Stored));
    });

    [Fact]
    public Task A_read_that_was_on_its_way_while_a_write_was_lost_is_done_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        await ReadAsync();
        clock.Advance(TimeSpan.FromSeconds(5));
        var early = storage.HoldRead();
        var read = ReadAsync();
        storage.Stored = "final";

        Assert.False(await TryWriteAsync(new("mine")));
        early.Release();

        Assert.Equal("final", await read);
    });

    [Fact]
    public Task A_read_that_fails_fails_its_caller_and_who_asked_meanwhile_reads_again() => InTurnsAsync(async () =>
    {
        storage.Stored = "pending";
        var held = storage.HoldRead();
        var first = ReadAsync();
        var second = ReadAsync();

        held.Fail(StorageFaultException.Refused("Cut."));

        await Assert.ThrowsAsync<StorageFaultException>(() => first);
        Assert.Equal("pending", await second);
    });

    // As a grain's turns are: on any thread, and never two at once.
    internal static Task InTurnsAsync(Func<Task> test) =>
        Task.Factory.StartNew(test, CancellationToken.None, TaskCreationOptions.None, new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler).Unwrap().WaitAsync(ClusterFixture.Patience);

    private async Task<string?> ReadAsync()
    {
        read = await state.ReadRowAsync();
        return StoredState<Row>.StateIn(read)?.Text;
    }

    // Over what was read or written last.
    private async Task<bool> TryWriteAsync(Row next)
    {
        var isWritten = await state.TryWriteAsync(read, next);
        read = isWritten ? new(next, storage.Version!) { RecordExists = true } : read;
        return isWritten;
    }

    private async Task FailAsync(Exception refusal)
    {
        storage.HoldWrite(Held.BeforeItsCommit).Fail(refusal);
        Assert.Same(refusal, await Record.ExceptionAsync(() => TryWriteAsync(new("mine"))));
    }

    public enum Held
    {
        BeforeItsCommit,
        AfterItsCommit,
    }

    internal sealed record Row(string Text)
    {
        public Row()
            : this("")
        {
        }
    }

    /// <summary>One row, whose reads and writes can be held one by one. What a read has found it has found before it is held.</summary>
    private sealed class HeldStorage : IGrainStorage
    {
        private readonly Queue<Call> reads = new();
        private readonly Queue<(Held Moment, Call Call)> writes = new();
        private string? stored;
        private int version;

        public int Reads { get; private set; }

        public string? Version => stored is null ? null : $"{version}";

        /// <summary>The row; set, another activation has written it.</summary>
        public string? Stored
        {
            get => stored;
            set => (stored, version) = (value, value is null ? 0 : version + 1);
        }

        public Call HoldRead() => Queued(reads, new Call(), call => call);

        public Call HoldWrite(Held moment) => Queued(writes, new Call(), call => (moment, call));

        public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            Reads++;
            var (text, etag) = (stored, Version);
            if (reads.TryDequeue(out var held))
            {
                await held.Async();
            }

            (grainState.State, grainState.ETag, grainState.RecordExists) = ((T)(object)(text is null ? new Row() : new Row(text)), etag!, text is not null);
        }

        public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
            WriteAsync(grainState, ((Row)(object)grainState.State!).Text);

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => WriteAsync(grainState, null);

        private static Call Queued<TItem>(Queue<TItem> queue, Call call, Func<Call, TItem> item)
        {
            queue.Enqueue(item(call));
            return call;
        }

        private async Task WriteAsync<T>(IGrainState<T> grainState, string? next)
        {
            var held = writes.TryDequeue(out var taken) ? taken : default;
            await (held is { Moment: Held.BeforeItsCommit, Call: { } before } ? before.Async() : Task.CompletedTask);
            if (grainState.ETag != Version)
            {
                throw new InconsistentStateException();
            }

            Stored = next;
            await (held is { Moment: Held.AfterItsCommit, Call: { } after } ? after.Async() : Task.CompletedTask);
            (grainState.ETag, grainState.RecordExists) = (Version!, next is not null);
        }
    }

    private sealed class Call
    {
        private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Completes when the call has come to the storage.</summary>
        public Task Reached => reached.Task;

        public void Release() => released.SetResult();

        public void Fail(Exception fault) => released.SetException(fault);

        public Task Async()
        {
            reached.TrySetResult();
            return released.Task;
        }
    }
}
