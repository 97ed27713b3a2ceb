using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitQueueOnSqlite() : GroupCommitQueueTests(StorageEngine.Sqlite);

public sealed class GroupCommitQueueOnPostgreSql() : GroupCommitQueueTests(StorageEngine.PostgreSql);

public sealed class GroupCommitQueueOnSqlServer() : GroupCommitQueueTests(StorageEngine.SqlServer);

// What waits: how much of it there may be, how it is taken back, and what becomes of it at the end.
public abstract class GroupCommitQueueTests
{
    private const string Key = "op/acme/invoice 1/";

    private readonly StorageEngine engine;

    private protected GroupCommitQueueTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task A_full_queue_refuses_without_writing_and_takes_work_again_when_it_is_drained()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { Queue = 4 });
        var waiting = Keys(4).Select(key => storage.InsertAsync(key)).ToList();

        await Assert.ThrowsAsync<StorageBusyException>(() => storage.InsertAsync(Key));
        await storage.StartAsync();
        await Task.WhenAll(waiting);

        Assert.Equal(Keys(4), (await test.VersionsAsync()).Keys.Order());
        await storage.InsertAsync(Key);
        Assert.Equal("1", (await storage.ReadAsync(Key)).ETag);
    }

    [SkippableFact]
    public async Task A_full_queue_of_reads_refuses_and_takes_work_again_when_it_is_drained()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { Queue = 4 });
        var waiting = Keys(4).Select(key => storage.ReadAsync(key)).ToList();

        await Assert.ThrowsAsync<StorageBusyException>(() => storage.ReadAsync(Key));
        await storage.StartAsync();

        Assert.All(await Task.WhenAll(waiting), state => Assert.Null(state.ETag));
        Assert.Null((await storage.ReadAsync(Key)).ETag);
    }

    [SkippableFact]
    public async Task More_bytes_than_the_queue_holds_are_refused_however_few_the_writes()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { QueuedBytes = 10 });
        var waiting = storage.InsertAsync("op/acme/waiting/", "12345678");

        await Assert.ThrowsAsync<StorageBusyException>(() => storage.InsertAsync(Key, "123"));

        // What was refused takes no place.
        var fits = storage.InsertAsync("op/acme/fits/", "12");
        await storage.StartAsync();
        await Task.WhenAll(waiting, fits);

        Assert.Equal(["op/acme/fits/", "op/acme/waiting/"], (await test.VersionsAsync()).Keys.Order());
        await storage.InsertAsync(Key, "1234567890");
        await Assert.ThrowsAsync<StorageBusyException>(() => storage.InsertAsync("op/acme/too large/", "12345678901"));
    }

    [SkippableFact]
    public async Task A_write_that_is_cancelled_while_it_waits_is_not_written_and_takes_no_place()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { QueuedBytes = 6 });
        using var cancelled = new CancellationTokenSource();
        var before = storage.InsertAsync("op/acme/before/");
        var write = storage.InsertAsync(Key, "{}", cancelled.Token);
        var after = storage.InsertAsync("op/acme/after/");
        await cancelled.CancelAsync();

        await storage.StartAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => write);
        await Task.WhenAll(before, after);
        Assert.Equal(["op/acme/after/", "op/acme/before/"], (await test.VersionsAsync()).Keys.Order());
        await storage.InsertAsync(Key, "123456");
    }

    [SkippableFact]
    public async Task Writes_that_are_all_cancelled_make_no_group()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test);
        using var cancelled = new CancellationTokenSource();
        var writes = Keys(3).Select(key => storage.InsertAsync(key, "{}", cancelled.Token)).ToList();
        await cancelled.CancelAsync();

        await storage.StartAsync();

        await Task.WhenAll(writes.Select(write => Assert.ThrowsAnyAsync<OperationCanceledException>(() => write)));
        await storage.InsertAsync(Key);
        Assert.Equal([Key], (await test.VersionsAsync()).Keys);
    }

    [SkippableFact]
    public async Task A_read_that_is_cancelled_waits_no_longer_and_hurts_no_other()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test);
        using var cancelled = new CancellationTokenSource();
        var read = storage.ReadAsync(Key, cancelled.Token);
        var other = storage.ReadAsync(Key);

        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read);
        await storage.StartAsync();
        Assert.Null((await other).ETag);
    }

    [SkippableFact]
    public async Task A_stop_writes_what_waits_and_takes_nothing_more()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { Group = 5 });
        var writes = Keys(40).Select(key => storage.InsertAsync(key)).ToList();
        var reads = Keys(40).Select(key => storage.ReadAsync(key)).ToList();
        await storage.StartAsync();

        await storage.StopAsync();

        Assert.Equal(Keys(40), (await test.VersionsAsync()).Keys.Order());
        await Task.WhenAll(writes.Concat(reads));
        await Assert.ThrowsAsync<StorageBusyException>(() => storage.InsertAsync(Key));
        await Assert.ThrowsAsync<StorageBusyException>(() => storage.ReadAsync(Key));
    }

    [SkippableFact]
    public async Task A_stop_without_patience_leaves_no_caller_without_an_answer()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { Group = 1 });
        var writes = Keys(5).Select(key => Record.ExceptionAsync(() => storage.InsertAsync(key))).ToList();
        var reads = Keys(5).Select(key => Record.ExceptionAsync(() => storage.ReadAsync(key))).ToList();
        var held = await test.LockRowsAsync();
        await storage.StartAsync();

        var stop = storage.StopAsync(new CancellationToken(canceled: true));
        await held.DisposeAsync();

        await stop;
        var faults = await Task.WhenAll(writes);
        await Task.WhenAll(reads);

        // The first was perhaps on its way; the others had not begun.
        Assert.All(faults.Skip(1), fault => Assert.IsType<StorageFaultException>(fault));
        Assert.Subset(Keys(1).ToHashSet(), (await test.VersionsAsync()).Keys.ToHashSet());
    }

    private static IEnumerable<string> Keys(int count) => Enumerable.Range(0, count).Select(number => $"op/acme/{number:D3}/");
}
