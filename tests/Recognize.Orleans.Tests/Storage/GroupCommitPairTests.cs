using Orleans.Storage;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitPairsOnSqlite() : GroupCommitPairTests(StorageEngine.Sqlite);

public sealed class GroupCommitPairsOnPostgreSql() : GroupCommitPairTests(StorageEngine.PostgreSql);

public sealed class GroupCommitPairsOnSqlServer() : GroupCommitPairTests(StorageEngine.SqlServer);

// The first row of a new grain and the row of another: both or neither.
public abstract class GroupCommitPairTests
{
    private const string First = "op/acme/invoice 1/";
    private const string Second = "user/acme/A1/";

    private readonly StorageEngine engine;

    private protected GroupCommitPairTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task Both_rows_are_written_whether_the_second_is_new_or_not()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var state = await storage.ReadAsync(Second);

        Assert.True(await storage.InsertWithAsync(First, Second, state, """{"pending":1}"""));
        Assert.Equal(("1", true), (state.ETag, state.RecordExists));
        Assert.True(await storage.InsertWithAsync(First + "2", Second, state, """{"pending":2}"""));

        Assert.Equal("2", state.ETag);
        Assert.Equal([(First, 1), (First + "2", 1), (Second, 2)], await RowsAsync(test));
        Assert.Equal("""{"pending":2}""", (await storage.ReadAsync(Second)).State!.Json);
        Assert.Equal("{}", (await storage.ReadAsync(First)).State!.Json);
    }

    [SkippableFact]
    public async Task A_pair_whose_first_row_exists_writes_nothing()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var (known, absent) = (await storage.ReadAsync(Second), await storage.ReadAsync("user/acme/B2/"));
        await storage.WriteAsync(Second, known, "{}");
        await storage.InsertAsync(First, """{"by":"another"}""");

        Assert.False(await storage.InsertWithAsync(First, Second, known, "[]"));
        Assert.False(await storage.InsertWithAsync(First, "user/acme/B2/", absent, "[]"));

        Assert.Equal(("1", null, false), (known.ETag, absent.ETag, absent.RecordExists));
        Assert.Equal([(First, 1), (Second, 1)], await RowsAsync(test));
        Assert.Equal("""{"by":"another"}""", (await storage.ReadAsync(First)).State!.Json);
        Assert.Equal("{}", (await storage.ReadAsync(Second)).State!.Json);
    }

    [SkippableFact]
    public async Task A_pair_whose_second_row_has_moved_on_writes_nothing()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync(Second);
        var (outdated, absent) = (await storage.ReadAsync(Second), await storage.ReadAsync("user/acme/gone/"));
        await storage.WriteAsync(Second, await storage.ReadAsync(Second), """{"by":"another"}""");
        absent.ETag = "1";

        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.InsertWithAsync(First, Second, outdated, "[]"));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.InsertWithAsync(First, Second, new(), "[]"));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.InsertWithAsync(First, "user/acme/gone/", absent, "[]"));

        Assert.Equal([(Second, 2)], await RowsAsync(test));
        Assert.Equal("""{"by":"another"}""", (await storage.ReadAsync(Second)).State!.Json);
        Assert.True(await storage.InsertWithAsync(First, Second, await storage.ReadAsync(Second)));
    }

    [SkippableFact]
    public async Task A_pair_of_which_both_rows_are_taken_says_that_the_first_exists()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync(First);
        await storage.InsertAsync(Second);

        Assert.False(await storage.InsertWithAsync(First, Second, new(), "[]"));

        Assert.Equal([(First, 1), (Second, 1)], await RowsAsync(test));
    }

    [SkippableFact]
    public async Task Pairs_that_conflict_leave_the_others_of_their_group_alone()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var other = await TextStorage.GroupCommitAsync(test);
        await other.InsertAsync("op/acme/exists/");
        await other.InsertAsync("user/acme/moved on/");
        await using var storage = TextStorage.GroupCommitToStart(test);

        var before = storage.InsertWithAsync("op/acme/before/", "user/acme/before/", new());
        var duplicate = storage.InsertWithAsync("op/acme/exists/", "user/acme/of duplicate/", new(), "[]");
        var conflict = storage.InsertWithAsync("op/acme/of conflict/", "user/acme/moved on/", new(), "[]");
        var single = storage.InsertAsync("op/acme/single/");
        var after = storage.InsertWithAsync("op/acme/after/", "user/acme/after/", new());
        await storage.StartAsync();

        Assert.True(await before);
        Assert.False(await duplicate);
        await Assert.ThrowsAsync<InconsistentStateException>(() => conflict);
        await single;
        Assert.True(await after);
        Assert.Equal(
            [
                ("op/acme/after/", 1), ("op/acme/before/", 1), ("op/acme/exists/", 1), ("op/acme/single/", 1),
                ("user/acme/after/", 1), ("user/acme/before/", 1), ("user/acme/moved on/", 1),
            ],
            await RowsAsync(test));
    }

    [SkippableFact]
    public async Task Of_pairs_with_one_first_row_from_two_storages_at_once_exactly_one_is_written()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var one = await TextStorage.GroupCommitAsync(test);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var pairs = from row in Enumerable.Range(0, 20) from writer in Enumerable.Range(0, 8) select (First: $"op/acme/{row}/", Second: $"user/acme/{row}-{writer}/", writer);

        var written = await Task.WhenAll(pairs.Select(pair => Task.Run(async () =>
            (pair.First, pair.Second, Inserted: await (pair.writer % 2 == 0 ? one : other).InsertWithAsync(pair.First, pair.Second, new())))));

        var winners = written.Where(pair => pair.Inserted).ToList();
        Assert.Equal(20, winners.Select(pair => pair.First).Distinct().Count());
        Assert.Equal(winners.SelectMany(pair => new[] { (pair.First, 1), (pair.Second, 1) }).Order(), await RowsAsync(test));
    }

    [SkippableFact]
    public async Task Of_pairs_with_one_version_of_the_second_row_from_two_storages_at_once_exactly_one_is_written()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var one = await TextStorage.GroupCommitAsync(test);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var pairs = from row in Enumerable.Range(0, 20) from writer in Enumerable.Range(0, 8) select (First: $"op/acme/{row}-{writer}/", Second: $"user/acme/{row}/", writer);

        // Half of the second rows are new.
        await Task.WhenAll(Enumerable.Range(0, 10).Select(row => one.InsertAsync($"user/acme/{row}/")));
        var outcomes = await Task.WhenAll(pairs.Select(pair => Task.Run(async () =>
        {
            var state = new GrainState<TextStorage.Text>() { ETag = pair.Second.Length < "user/acme/10/".Length ? "1" : null };
            return (pair.First, pair.Second, Fault: await Record.ExceptionAsync(() => (pair.writer % 2 == 0 ? one : other).InsertWithAsync(pair.First, pair.Second, state)));
        })));

        Assert.All(outcomes.Select(pair => pair.Fault).OfType<Exception>(), fault => Assert.IsType<InconsistentStateException>(fault));
        var winners = outcomes.Where(pair => pair.Fault is null).ToList();
        Assert.Equal(20, winners.Select(pair => pair.Second).Distinct().Count());
        Assert.Equal(20, winners.Count);
        Assert.Equal(winners.Select(pair => pair.First).Concat(winners.Select(pair => pair.Second)).Order(), (await RowsAsync(test)).Select(row => row.Key));
    }

    private static async Task<IEnumerable<(string Key, int Version)>> RowsAsync(TestDatabase test) =>
        (await test.VersionsAsync()).Select(row => (row.Key, row.Value)).Order();
}
