using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitKeysOnSqlite() : GroupCommitKeysTests(StorageEngine.Sqlite);

public sealed class GroupCommitKeysOnPostgreSql() : GroupCommitKeysTests(StorageEngine.PostgreSql);

public sealed class GroupCommitKeysOnSqlServer() : GroupCommitKeysTests(StorageEngine.SqlServer);

// What a row is found by beside its grain, and what is found by it.
public abstract class GroupCommitKeysTests
{
    private const string Key = "op/acme/invoice 1/";
    private const string Owner = "op/acme/A1B2/2025-05-21T10:30:00.000Z/0000000000008819";

    private static readonly DateTimeOffset Now = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero);
    private static readonly OperationState Pending =
        OperationState.Create(new("acme", "A1B2"), new() { OperationId = "invoice 1", Payload = "é \0", Attempt = "attempt-1" }, 8819, "node-1", Now);

    private static readonly OperationState Decided = Pending.Decide(new() { UserId = "A1B2", Verdict = Verdict.Approve, AuthType = AuthType.Pin }, Now.AddMinutes(1)).Next;
    private static readonly OperationState Removed = Decided.Remove(Now.AddDays(30));

    private static readonly Comparer Same = new();
    private static readonly string[] Owners = ["acme/A1/", "acme/A/", "acme/A10/", "ACME/A1/", "acme-2/A1/"];
    private static readonly int[] Numbers = [4, 9, 0, 7, 2, 5, 8, 1, 6, 3];

    private readonly StorageEngine engine;

    private protected GroupCommitKeysTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task An_operation_has_the_same_keys_at_every_time_of_its_life_whichever_storage_writes_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test, deleteStateOnClear: true);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        RowKeys?[] life = [new(Owner, Open: Owner), new(Owner, Open: Owner), new(Owner), new("op/~/2025-06-20T10:30:00.000Z/0000000000008819"), null];

        Assert.Equal(life, await LiveAsync(test, storage, storage));
        Assert.Equal(life, await LiveAsync(test, stock, stock));
        Assert.Equal(life, await LiveAsync(test, storage, stock));
        Assert.Equal(life, await LiveAsync(test, stock, storage));
    }

    [SkippableFact]
    public async Task An_operation_that_is_overdue_or_is_written_first_when_it_has_ended_is_pending_for_neither_storage()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var expired = (Pending with { ExpiresAt = Now }).Expire(Now);

        await storage.WriteAsync("op/acme/group/", new(), expired);
        await stock.WriteAsync("op/acme/stock/", new(), expired);

        Assert.Equal([new(Owner), new(Owner)], (await KeysAsync(test)).Values);
    }

    [SkippableFact]
    public async Task A_write_sets_every_key_and_clears_those_that_it_does_not_name()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var state = new GrainState<TextStorage.Text>();
        RowKeys[] written = [new("acme/A1/1", "acme/A1/2", "2025"), new("acme/A1/1", Due: "2026"), new("acme/A1/3", Open: "acme/A1/3"), default, new(null, Due: "2027")];
        var stored = new List<RowKeys>();

        await InOrder.ForEachAsync(written, async keys =>
        {
            await storage.WriteAsync(Key, state, "{}", keys);
            stored.Add((await KeysAsync(test))[Key]);
        });

        Assert.Equal(written, stored);
        Assert.Equal("5", state.ETag);
    }

    [SkippableFact]
    public async Task A_write_that_is_refused_moves_no_key()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.WriteAsync(Key, new(), "{}", new RowKeys("acme/A1/1", "acme/A1/1", "2025"));

        await Assert.ThrowsAsync<global::Orleans.Storage.InconsistentStateException>(() => storage.WriteAsync(Key, new(), "{}", new RowKeys("~1")));
        await Assert.ThrowsAsync<global::Orleans.Storage.InconsistentStateException>(() => storage.WriteAsync(Key, new() { ETag = "2" }, "{}", new RowKeys("~1")));

        Assert.Equal(new("acme/A1/1", "acme/A1/1", "2025"), (await KeysAsync(test))[Key]);
    }

    [SkippableFact]
    public async Task A_row_that_is_deleted_is_in_no_range()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var state = new GrainState<TextStorage.Text>();
        await storage.WriteAsync(Key, state, "{}", new RowKeys("acme/A1/1", "acme/A1/1", "acme/A1/1"));

        await storage.ClearAsync(Key, state);

        Assert.Empty(await test.VersionsAsync());
        Assert.Empty(await storage.ReadAsync(Of(new(RowIndex.Open), "acme/A1/")));
        Assert.Empty(await storage.ReadAsync(Of(new(RowIndex.Owner), "acme/A1/")));
        Assert.Empty(await storage.ReadAsync(Of(new(RowIndex.Due), "acme/A1/")));
    }

    [SkippableFact]
    public async Task Rows_come_in_the_order_of_an_index_or_against_it_with_no_row_of_anybody_else()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var writer = await TextStorage.GroupCommitAsync(test);
        await WriteKeysAsync(writer);
        await using var storage = TextStorage.GroupCommitToStart(test);

        // All in one group, with users that are nearly the same and one who has nothing.
        string[] asked = [.. Owners, "acme/FF/"];
        var open = Read(new(RowIndex.Open));
        var openKeys = Read(new(RowIndex.Open, RowPart.None));
        var owner = Read(new(RowIndex.Owner, Descending: true));
        var ownerGrains = Read(new(RowIndex.Owner, RowPart.GrainKey));
        var due = Read(new(RowIndex.Due, Descending: true));
        var row = storage.ReadAsync("op/acme/A1/03/");
        await storage.StartAsync();

        Assert.Equal(Owners.Select(one => Rows(one, 1, 3, 5, 7, 9)).Append([]), await Task.WhenAll(open), Same);
        Assert.Equal(Owners.Select(one => Rows(one, 1, 3, 5, 7, 9)).Append([]).Select(KeysOf), await Task.WhenAll(openKeys), Same);
        Assert.Equal(Owners.Select(one => Rows(one, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)).Append([]), await Task.WhenAll(owner), Same);
        Assert.Equal(Owners.Select(one => Rows(one, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)).Append([]).Select(GrainsOf), await Task.WhenAll(ownerGrains), Same);
        Assert.Equal(Owners.Select(one => Rows(one, 9, 7, 5, 3, 1)).Append([]), await Task.WhenAll(due), Same);
        Assert.Equal("acme/A1/03", (await row).State!.Json);

        List<Task<List<RangeRow>>> Read(RangeKind kind) => [.. asked.Select(one => storage.ReadAsync(Of(kind, one)))];
    }

    [SkippableFact]
    public async Task Rows_are_counted_between_two_keys_of_an_index()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await WriteKeysAsync(storage);
        await using var database = test.Open();

        Assert.Equal(10, await database.CountAsync("recognize", RowIndex.Owner, "acme/A1/", "acme/A1/~", CancellationToken.None));
        Assert.Equal(15, await database.CountAsync("recognize", RowIndex.Open, "acme/", "acme/~", CancellationToken.None));
        Assert.Equal(2, await database.CountAsync("recognize", RowIndex.Due, "acme/A1/01", "acme/A1/07", CancellationToken.None));
        Assert.Equal(0, await database.CountAsync("another", RowIndex.Owner, "acme/", "acme/~", CancellationToken.None));
    }

    [SkippableFact]
    public async Task A_range_ends_with_its_count_and_goes_on_where_the_one_before_it_has_ended()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await WriteKeysAsync(storage);

        Assert.Equal(Rows("acme/A1/", 1, 3), await storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/", "acme/A1/~", 2)), Same);
        Assert.Equal(Rows("acme/A1/", 5, 7), await storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/03", "acme/A1/~", 2)), Same);
        Assert.Equal(Rows("acme/A1/", 9, 8, 7), await storage.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), "acme/A1/", "acme/A1/~", 3)), Same);
        Assert.Equal(Rows("acme/A1/", 6, 5, 4), await storage.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), "acme/A1/", "acme/A1/07", 3)), Same);
        Assert.Equal(Rows("acme/A1/", 0), await storage.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), "acme/A1/", "acme/A1/01", 3)), Same);
    }

    [SkippableFact]
    public async Task A_row_that_the_stock_provider_cleared_is_in_no_range()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var stock = await TextStorage.StockAsync(test);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var state = new GrainState<OperationState>();
        await stock.WriteAsync(Key, state, Pending);

        await stock.ClearAsync(Key, state);

        Assert.Empty(await storage.ReadAsync(Of(new(RowIndex.Open), "op/acme/A1B2/")));
        Assert.Empty(await storage.ReadAsync(Of(new(RowIndex.Owner), "op/acme/A1B2/")));
        Assert.Equal(2, Assert.Single(await test.VersionsAsync()).Value);
    }

    // Every owner has ten rows, of which every second one is open and due; they are written in no order.
    private static Task WriteKeysAsync(TextStorage storage) => Task.WhenAll(
        from number in Numbers
        from owner in Owners.Reverse()
        let key = $"{owner}{number:D2}"
        select storage.WriteAsync($"op/{key}/", new(), key, number % 2 == 1 ? new RowKeys(key, key, key) : new RowKeys(key)));

    private static RowRange Of(RangeKind kind, string owner) => new(kind, owner, owner + "~", int.MaxValue);

    private static List<RangeRow> KeysOf(List<RangeRow> rows) => [.. rows.Select(row => row with { Payload = null })];

    private static List<RangeRow> GrainsOf(List<RangeRow> rows) => [.. rows.Select(row => row with { GrainKey = $"op/{row.Key}/", Payload = null })];

    private static List<RangeRow> Rows(string owner, params int[] numbers) =>
        [.. numbers.Select(number => new RangeRow($"{owner}{number:D2}", null, System.Text.Encoding.ASCII.GetBytes($"{owner}{number:D2}")))];

    private static async Task<List<RowKeys?>> LiveAsync(TestDatabase test, TextStorage one, TextStorage other)
    {
        var state = new GrainState<OperationState>();
        var keys = new List<RowKeys?>();
        await one.WriteAsync(Key, state, Pending);
        keys.Add((await KeysAsync(test))[Key]);
        await other.WriteAsync(Key, state, Pending with { NodeId = "node-2" });
        keys.Add((await KeysAsync(test))[Key]);
        await other.WriteAsync(Key, state, Decided);
        keys.Add((await KeysAsync(test))[Key]);
        await one.WriteAsync(Key, state, Removed);
        keys.Add((await KeysAsync(test))[Key]);
        await other.ClearAsync(Key, state);
        keys.Add((await KeysAsync(test)).TryGetValue(Key, out var left) ? left : null);
        return keys;
    }

    private static async Task<IReadOnlyDictionary<string, RowKeys>> KeysAsync(TestDatabase test) =>
        (await test.QueryAsync("SELECT GrainIdExtensionString AS GrainKey, OwnerKey, OpenKey, DueKey FROM OrleansStorage")).ToDictionary(
            row => (string)row["GrainKey"]!,
            row => new RowKeys((string?)row["OwnerKey"], (string?)row["OpenKey"], (string?)row["DueKey"]),
            StringComparer.Ordinal);

    private sealed class Comparer : IEqualityComparer<IEnumerable<RangeRow>>, IEqualityComparer<RangeRow>
    {
        public bool Equals(RangeRow one, RangeRow other) => (one.Key, one.GrainKey) == (other.Key, other.GrainKey) && one.Payload!.AsSpan().SequenceEqual(other.Payload);

        public int GetHashCode(RangeRow row) => row.Key.GetHashCode(StringComparison.Ordinal);

        public bool Equals(IEnumerable<RangeRow>? one, IEnumerable<RangeRow>? other) => one!.SequenceEqual(other!, this);

        public int GetHashCode(IEnumerable<RangeRow> rows) => 0;
    }
}
