using System.Collections.Concurrent;
using System.Globalization;
using CsCheck;
using Orleans.Storage;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitOnSqlite() : GroupCommitTests(StorageEngine.Sqlite);

public sealed class GroupCommitOnPostgreSql() : GroupCommitTests(StorageEngine.PostgreSql);

public sealed class GroupCommitOnSqlServer() : GroupCommitTests(StorageEngine.SqlServer);

public abstract class GroupCommitTests
{
    private const string Key = "op/acme/invoice 1/";

    private readonly StorageEngine engine;

    private protected GroupCommitTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task Either_storage_goes_on_with_the_rows_of_the_other()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await stock.InsertAsync(Key, """{"by":"stock"}""");

        var state = await storage.ReadAsync(Key);
        Assert.Equal(("1", true, """{"by":"stock"}"""), (state.ETag, state.RecordExists, state.State!.Json));
        await storage.WriteAsync(Key, state, """{"by":"group"}""");
        Assert.Equal("2", state.ETag);

        state = await stock.ReadAsync(Key);
        Assert.Equal(("2", true, """{"by":"group"}"""), (state.ETag, state.RecordExists, state.State!.Json));
        await stock.WriteAsync(Key, state, """{"by":"stock again"}""");

        state = await storage.ReadAsync(Key);
        Assert.Equal(("3", """{"by":"stock again"}"""), (state.ETag, state.State!.Json));
    }

    [SkippableFact]
    public async Task A_row_that_the_stock_provider_cleared_keeps_its_version()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync(Key);
        await stock.ClearAsync(Key, await stock.ReadAsync(Key));

        var cleared = await storage.ReadAsync(Key);
        Assert.Equal(("2", false, ""), (cleared.ETag, cleared.RecordExists, cleared.State!.Json));
        await storage.WriteAsync(Key, cleared, """{"again":true}""");
        Assert.Equal("""{"again":true}""", (await stock.ReadAsync(Key)).State!.Json);
    }

    [SkippableFact]
    public async Task A_row_that_either_storage_deleted_is_gone_for_the_other_and_can_begin_anew()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test, deleteStateOnClear: true);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await stock.InsertAsync(Key);

        var deleted = await storage.ReadAsync(Key);
        await storage.ClearAsync(Key, deleted);
        Assert.Equal((null, false, ""), (deleted.ETag, deleted.RecordExists, deleted.State!.Json));
        Assert.Empty(await test.VersionsAsync());

        await storage.WriteAsync(Key, deleted, """{"again":true}""");
        await stock.ClearAsync(Key, await stock.ReadAsync(Key));
        Assert.Null((await storage.ReadAsync(Key)).ETag);
        Assert.Empty(await test.VersionsAsync());
    }

    [SkippableFact]
    public async Task An_outdated_version_deletes_nothing_and_hurts_no_other_write_of_its_group()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var other = await TextStorage.GroupCommitAsync(test);
        await Task.WhenAll(Keys(3).Select(key => other.InsertAsync(key)));
        var outdated = await other.ReadAsync(Keys(3)[0]);
        await other.WriteAsync(Keys(3)[0], await other.ReadAsync(Keys(3)[0]), "{}");
        var (deleted, written) = (await other.ReadAsync(Keys(3)[1]), await other.ReadAsync(Keys(3)[2]));
        await using var storage = TextStorage.GroupCommitToStart(test);

        var refused = storage.ClearAsync(Keys(3)[0], outdated);
        var rest = new[] { storage.ClearAsync(Keys(3)[1], deleted), storage.WriteAsync(Keys(3)[2], written, "{}"), storage.InsertAsync(Keys(4)[3]) };
        await storage.StartAsync();

        await Assert.ThrowsAsync<InconsistentStateException>(() => refused);
        await Task.WhenAll(rest);
        Assert.Equal([(Keys(4)[0], 2), (Keys(4)[2], 2), (Keys(4)[3], 1)], (await test.VersionsAsync()).Select(row => (row.Key, row.Value)).Order());
    }

    [SkippableFact]
    public async Task Any_key_is_one_row_for_both_storages_and_each_takes_the_versions_of_the_other()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var keys = new HashSet<string>(StringComparer.Ordinal);

        await Texts.Any.SampleAsync(
            async text =>
            {
                // No key holds NUL or braces: OperationLimits, GrainFactoryExtensions.
                var key = $"op/acme/{string.Join('-', text.Split('\0', '{', '}'))}/";
                keys.Add(key);
                var state = await storage.ReadAsync(key);
                await stock.WriteAsync(key, state, "{}");
                await storage.WriteAsync(key, await stock.ReadAsync(key), "{}");
                Assert.Equal(Number(state.ETag) + 1, Number((await stock.ReadAsync(key)).ETag));
            },
            iter: 100,
            threads: 1);

        Assert.Equal(keys.Order(StringComparer.Ordinal), (await test.VersionsAsync()).Keys.Order(StringComparer.Ordinal));
    }

    [SkippableFact]
    public async Task An_absent_row_has_no_version_and_an_empty_state()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);

        var state = await storage.ReadAsync(Key);

        Assert.Equal((null, false, ""), (state.ETag, state.RecordExists, state.State!.Json));
        await storage.ClearAsync(Key, state);
        Assert.Empty(await test.VersionsAsync());
    }

    [SkippableFact]
    public async Task Reads_of_one_group_each_get_their_own_row()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var writer = await TextStorage.GroupCommitAsync(test);
        var keys = Keys(50);
        await Task.WhenAll(keys.Select(key => writer.InsertAsync(key, $$"""{"key":"{{key}}"}""")));
        await using var storage = TextStorage.GroupCommitToStart(test);

        // Every second one is absent, and every row is asked for twice.
        var asked = keys.Concat(keys).SelectMany(key => new[] { key, key + "absent" }).ToList();
        var reads = asked.Select(key => storage.ReadAsync(key)).ToList();
        await storage.StartAsync();

        var found = (await Task.WhenAll(reads)).Select(state => (state.ETag, state.State!.Json));
        Assert.Equal(asked.Select(key => key.EndsWith("absent", StringComparison.Ordinal) ? ((string?)null, "") : ("1", $$"""{"key":"{{key}}"}""")), found);
    }

    [SkippableFact]
    public async Task A_conflict_is_told_to_its_writer_alone_and_the_others_of_the_group_are_written()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var (outdated, current) = (new GrainState<TextStorage.Text>(), new GrainState<TextStorage.Text>());
        await other.WriteAsync("op/acme/moved on/", outdated, "{}");
        await other.WriteAsync("op/acme/moved on/", await other.ReadAsync("op/acme/moved on/"), "{}");
        await other.WriteAsync("op/acme/current/", current, "{}");
        await other.InsertAsync("op/acme/exists/");
        await using var storage = TextStorage.GroupCommitToStart(test);

        var written = new List<Task> { storage.InsertAsync("op/acme/first/") };
        var conflicts = new[]
        {
            storage.WriteAsync("op/acme/moved on/", outdated, "[]"),
            storage.InsertAsync("op/acme/exists/", "[]"),
            storage.WriteAsync("op/acme/gone/", new() { ETag = "7" }, "[]"),
        };
        written.Add(storage.WriteAsync("op/acme/current/", current, "{}"));
        written.Add(storage.InsertAsync("op/acme/last/"));
        await storage.StartAsync();

        await Task.WhenAll(written);
        await Task.WhenAll(conflicts.Select(write => Assert.ThrowsAsync<InconsistentStateException>(() => write)));
        Assert.Equal(("1", "2"), (outdated.ETag, current.ETag));
        Assert.Equal(
            [("op/acme/current/", 2), ("op/acme/exists/", 1), ("op/acme/first/", 1), ("op/acme/last/", 1), ("op/acme/moved on/", 2)],
            (await test.VersionsAsync()).Select(row => (row.Key, row.Value)).Order());
    }

    [SkippableFact]
    public async Task Of_sixteen_first_writes_of_one_row_at_once_exactly_one_wins_and_the_others_learn_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test);
        var writes = Enumerable.Range(0, 16).Select(_ => Record.ExceptionAsync(() => storage.InsertAsync(Key))).ToList();

        await storage.StartAsync();

        AssertOneWon(await Task.WhenAll(writes));
        Assert.Equal(1, Assert.Single(await test.VersionsAsync()).Value);
    }

    [SkippableFact]
    public async Task Of_sixteen_first_writes_of_one_row_from_two_storages_at_once_exactly_one_wins()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var one = await TextStorage.GroupCommitAsync(test);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var keys = Keys(40);

        // Each begins at another end, so that their groups cross.
        var orders = new[] { (Storage: one, Keys: keys), (Storage: other, Keys: keys.AsEnumerable().Reverse().ToList()) };
        var writes = await Task.WhenAll(Enumerable.Range(0, 8).SelectMany(_ => orders).SelectMany(order => order.Keys.Select(key => Task.Run(async () =>
            (key, Fault: await Record.ExceptionAsync(() => order.Storage.InsertAsync(key)))))));

        Assert.All(writes.GroupBy(write => write.key), row => AssertOneWon(row.Select(write => write.Fault)));
        Assert.Equal(keys.Select(key => (key, 1)).Order(), (await test.VersionsAsync()).Select(row => (row.Key, row.Value)).Order());
    }

    [SkippableFact]
    public async Task Every_version_that_one_of_two_busy_storages_acknowledged_is_in_the_database()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var one = await TextStorage.GroupCommitAsync(test);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var keys = Keys(24);
        var acknowledged = new ConcurrentBag<(string Key, int Version)>();

        await Task.WhenAll(Enumerable.Range(0, 8).Select(number => Task.Run(async () =>
        {
            var storage = number % 2 == 0 ? one : other;
            var order = number % 2 == 0 ? keys : keys.AsEnumerable().Reverse();
            await InOrder.RepeatAsync(5, async () =>
            {
                var faults = await Task.WhenAll(order.Select(async key =>
                {
                    var state = await storage.ReadAsync(key);
                    var fault = await Record.ExceptionAsync(() => storage.WriteAsync(key, state, "{}"));
                    acknowledged.Add((key, fault is null ? Number(state.ETag) : 0));
                    return fault;
                }));
                Assert.All(faults, fault => Assert.True(fault is null or InconsistentStateException, fault?.ToString()));
            });
        })));

        // Each version has one writer, and the last of them is what is stored.
        var versions = acknowledged.Where(write => write.Version > 0).GroupBy(write => write.Key);
        Assert.All(versions, row => Assert.Equal(Enumerable.Range(1, row.Count()), row.Select(write => write.Version).Order()));
        Assert.Equal(versions.ToDictionary(row => row.Key, row => row.Count()), await test.VersionsAsync());
    }

    [SkippableFact]
    public async Task More_than_a_group_takes_is_written_in_several()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test, new() { Group = 7 });
        var keys = Keys(50);
        var writes = keys.Select(key => storage.InsertAsync(key)).ToList();

        await storage.StartAsync();

        await Task.WhenAll(writes);
        Assert.Equal(keys.Order(), (await test.VersionsAsync()).Keys.Order());
    }

    private static List<string> Keys(int count) => [.. Enumerable.Range(0, count).Select(number => $"op/acme/{number:D3}/")];

    private static int Number(string? version) => int.Parse(version ?? "0", CultureInfo.InvariantCulture);

    private static void AssertOneWon(IEnumerable<Exception?> faults)
    {
        Assert.Single(faults, fault => fault is null);
        Assert.Equal(15, faults.OfType<InconsistentStateException>().Count());
    }
}
