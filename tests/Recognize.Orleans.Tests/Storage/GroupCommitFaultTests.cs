using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.FaultInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitFaultsOnSqlite() : GroupCommitFaultTests(StorageEngine.Sqlite)
{
    private protected override string Poison => """
        CREATE TRIGGER Poison BEFORE INSERT ON OrleansStorage WHEN NEW.GrainIdExtensionString = 'op/acme/poison/'
        BEGIN SELECT RAISE(ABORT, 'Poison.'); END
        """;

    private protected override string Antidote => "DROP TRIGGER Poison";

    [Fact]
    public async Task A_full_disk_refuses_what_has_no_room_and_is_the_nodes_fault()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        var large = $"\"{new string('x', 100_000)}\"";

        // The limit is one connection's, which the pool gives to the writer.
        await LimitPagesAsync(storage, 1);
        var full = await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/0/", large));
        await LimitPagesAsync(storage, 1_000_000);

        Assert.Contains("full", full.Message, StringComparison.Ordinal);
        Assert.True(full.IsOfNode);
        Assert.False(full.MayBeWritten);
        await storage.InsertAsync("op/acme/0/", large);
        Assert.Equal(["op/acme/0/"], (await test.VersionsAsync()).Keys);
    }

    [Fact]
    public async Task What_a_deleted_file_would_hold_is_not_acknowledged()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync("op/acme/0/");
        var file = SqliteDatabase.FileOf(test.ConnectionString);

        File.Delete(file);
        var deleted = await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/1/"));
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync("op/acme/0/"));
        await File.WriteAllBytesAsync(file, []);
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/2/"));

        Assert.Contains("deleted or replaced", deleted.Message, StringComparison.Ordinal);
        Assert.False(deleted.MayBeWritten);
    }

    [Fact]
    public async Task What_a_deleted_log_would_hold_is_not_acknowledged()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync("op/acme/0/");
        var file = SqliteDatabase.FileOf(test.ConnectionString);

        File.Delete(file + "-wal");
        File.Delete(file + "-shm");

        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/1/"));
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync("op/acme/0/"));
        Assert.False(File.Exists(file + "-wal"));
    }

    [Fact]
    public async Task Orleans_own_storage_acknowledges_nothing_that_a_deleted_file_would_hold()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var storage = await TextStorage.StockAsync(test);
        await storage.InsertAsync("op/acme/0/");

        File.Delete(SqliteDatabase.FileOf(test.ConnectionString));

        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/1/"));
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync("op/acme/0/"));
    }

    private static async Task LimitPagesAsync(TextStorage storage, int pages)
    {
        await using var connection = await storage.DataSource.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = $"PRAGMA max_page_count = {pages}";
        await command.ExecuteNonQueryAsync();
    }
}

public sealed class GroupCommitFaultsOnPostgreSql() : GroupCommitFaultsOnServerTests(StorageEngine.PostgreSql)
{
    private protected override string Poison => "ALTER TABLE OrleansStorage ADD CONSTRAINT Poison CHECK (GrainIdExtensionString <> 'op/acme/poison/')";

    private protected override string Antidote => "ALTER TABLE OrleansStorage DROP CONSTRAINT Poison";

    [SkippableFact]
    public async Task What_waits_shares_one_transaction_and_a_row_that_waits_twice_does_not_take_it_apart()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = TextStorage.GroupCommitToStart(test);
        var writes = Enumerable.Range(0, 20).Select(number => storage.InsertAsync($"op/acme/{number}/"))
            .Append(storage.InsertAsync("op/acme/twice/"))
            .ToList();
        var again = storage.WriteAsync("op/acme/twice/", new() { ETag = "1" }, "{}");
        writes.Add(storage.InsertAsync("op/acme/behind/"));

        await storage.StartAsync();

        await Task.WhenAll([.. writes, again]);
        var transactions = (await test.QueryAsync("SELECT GrainIdExtensionString AS GrainKey, xmin::text AS Writer FROM OrleansStorage"))
            .ToLookup(row => row["Writer"], row => (string)row["GrainKey"]!);
        Assert.Equal([2, 20], transactions.Select(transaction => transaction.Count()).Order());
        Assert.Contains(transactions, transaction => transaction.Order().SequenceEqual(["op/acme/behind/", "op/acme/twice/"]));
    }

    [SkippableFact]
    public async Task A_connection_that_breaks_while_a_group_is_written_fails_all_of_it_after_one_attempt()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = TextStorage.GroupCommitToStart(test);

        // What a sequence has counted is not taken back.
        await test.ExecuteAsync("""
            CREATE SEQUENCE Attempts;
            CREATE FUNCTION Cut() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM nextval('Attempts'); PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
            CREATE TRIGGER Cut BEFORE INSERT ON OrleansStorage FOR EACH STATEMENT EXECUTE FUNCTION Cut();
            """);
        var writes = Enumerable.Range(0, 9).Select(number => storage.InsertAsync($"op/acme/{number}/")).ToList();

        await storage.StartAsync();

        await Task.WhenAll(writes.Select(write => Assert.ThrowsAsync<StorageFaultException>(() => write)));
        Assert.Equal(1L, Assert.Single(await test.QueryAsync("SELECT last_value FROM Attempts WHERE is_called"))["last_value"]);
        await test.ExecuteAsync("DROP TRIGGER Cut ON OrleansStorage");
        await storage.InsertAsync("op/acme/0/");
        Assert.Equal(["op/acme/0/"], (await test.VersionsAsync()).Keys);
    }

    [SkippableFact]
    public async Task A_question_that_the_database_refuses_fails_alone_and_every_other_of_its_group_is_answered_once()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var writer = await TextStorage.GroupCommitAsync(test);
        await writer.WriteAsync("op/acme/0/", new(), "{}", new RowKeys("acme/A1/0", "acme/A1/0"));
        await using var storage = TextStorage.GroupCommitToStart(test);

        // PostgreSQL has no text with NUL. It refuses that only when it has answered the other kind of range.
        var pending = storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/", "acme/A1/~", 10));
        var refused = new Task[]
        {
            storage.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), "acme/A1/\0", "acme/A1/~", 10)),
            storage.ReadAsync("op/acme/\0/"),
        };
        var history = storage.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), "acme/A1/", "acme/A1/~", 10));
        var row = storage.ReadAsync("op/acme/0/");
        await storage.StartAsync();

        await Task.WhenAll(refused.Select(read => Assert.ThrowsAsync<StorageFaultException>(() => read)));
        Assert.Equal("acme/A1/0", Assert.Single(await pending).Key);
        Assert.Equal("acme/A1/0", Assert.Single(await history).Key);
        Assert.Equal("1", (await row).ETag);
    }

    [SkippableTheory]
    [InlineData(5, null, 6)]
    [InlineData(6, typeof(StorageFaultException), 6)]
    public async Task A_write_that_is_overtaken_between_its_look_and_its_insert_is_tried_again_but_not_for_ever(int times, Type? fault, long attempts)
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = await TextStorage.GroupCommitAsync(test);

        // The row is there when it is inserted, but was not when it was looked for.
        await test.ExecuteAsync($"""
            CREATE SEQUENCE Attempts;
            CREATE FUNCTION Overtake() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN
                    IF pg_trigger_depth() = 1 AND nextval('Attempts') <= {times} THEN INSERT INTO OrleansStorage SELECT NEW.*; END IF;
                    RETURN NEW;
                END $$;
            CREATE TRIGGER Overtake BEFORE INSERT ON OrleansStorage FOR EACH ROW EXECUTE FUNCTION Overtake();
            """);

        var thrown = await Record.ExceptionAsync(() => storage.InsertAsync("op/acme/0/"));

        Assert.Equal(fault, thrown?.GetType());
        Assert.Equal(attempts, Assert.Single(await test.QueryAsync("SELECT last_value FROM Attempts"))["last_value"]);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Sessions_that_were_opened_while_the_database_was_read_only_are_not_kept(bool groupCommit)
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = groupCommit ? await TextStorage.GroupCommitAsync(test) : await TextStorage.StockAsync(test);
        await storage.InsertAsync("op/acme/before/");
        await test.SetAsync("default_transaction_read_only = on");
        await EndSessionsAsync(test);
        var refused = await Assert.ThrowsAsync<StorageFaultException>(async () =>
        {
            // The first may meet the end of the sessions.
            await Record.ExceptionAsync(() => storage.InsertAsync("op/acme/first/"));
            await storage.InsertAsync("op/acme/during/");
        });
        Assert.Contains("read-only", refused.Message, StringComparison.Ordinal);

        await test.SetAsync("default_transaction_read_only = off");

        await storage.InsertAsync("op/acme/after/");
        Assert.Equal(["op/acme/after/", "op/acme/before/"], (await test.VersionsAsync()).Keys.Order());
    }

    [SkippableFact]
    public async Task A_database_that_refuses_the_statements_themselves_is_not_left_with_more_and_more_connections()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await test.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Elsewhere");

        await Assert.AllAsync(Enumerable.Range(0, 5), async number =>
        {
            await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync($"op/acme/{number}/"));
            await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync($"op/acme/{number}/"));
        });

        var others = await test.QueryAsync("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()");
        Assert.InRange(others.Count, 0, 2);
        await test.ExecuteAsync("ALTER TABLE Elsewhere RENAME TO OrleansStorage");
        await storage.InsertAsync("op/acme/0/");
        Assert.Equal("1", (await storage.ReadAsync("op/acme/0/")).ETag);
    }

    // Each counts itself, too.
    private static async Task<long> SessionsAsync(TestDatabase test)
    {
        await test.ExecuteAsync("SELECT pg_stat_force_next_flush()");
        return (long)Assert.Single(await test.QueryAsync("SELECT sessions FROM pg_stat_database WHERE datname = current_database()"))["sessions"]!;
    }

    private static Task EndSessionsAsync(TestDatabase test) =>
        test.ExecuteAsync("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");

    [SkippableFact]
    public async Task A_group_that_a_read_only_database_refuses_is_not_tried_item_by_item()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await test.SetAsync("default_transaction_read_only = on");
        await using var storage = TextStorage.GroupCommitToStart(test);
        var writes = Enumerable.Range(0, 40).Select(number => storage.InsertAsync($"op/acme/{number}/")).ToList();
        var before = await SessionsAsync(test);

        await storage.StartAsync();
        await Task.WhenAll(writes.Select(write => Assert.ThrowsAsync<StorageFaultException>(() => write)));

        Assert.InRange(await SessionsAsync(test) - before, 1, 10);
    }

    [SkippableFact]
    public async Task A_stop_that_runs_out_of_patience_does_not_wait_for_the_database()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await using var held = await test.LockRowsAsync();
        var write = storage.InsertAsync("op/acme/0/");

        await storage.StopAsync(new CancellationToken(canceled: true));

        await Assert.ThrowsAsync<StorageFaultException>(() => write);
    }
}

public sealed class GroupCommitFaultsOnSqlServer() : GroupCommitFaultsOnServerTests(StorageEngine.SqlServer)
{
    private protected override string Poison => "ALTER TABLE OrleansStorage ADD CONSTRAINT Poison CHECK (GrainIdExtensionString <> 'op/acme/poison/')";

    private protected override string Antidote => "ALTER TABLE OrleansStorage DROP CONSTRAINT Poison";
}

// SQLite has one writer.
public abstract class GroupCommitFaultsOnServerTests : GroupCommitFaultTests
{
    private readonly StorageEngine engine;

    private protected GroupCommitFaultsOnServerTests(StorageEngine engine)
        : base(engine) => this.engine = engine;

    [SkippableFact]
    public async Task A_row_that_somebody_holds_locked_fails_alone_and_the_others_of_its_group_are_written()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var other = await TextStorage.GroupCommitAsync(test);
        var keys = Enumerable.Range(0, 6).Select(number => $"op/acme/{number}/").ToList();
        await Task.WhenAll(keys.Select(key => other.InsertAsync(key)));
        await using var storage = TextStorage.GroupCommitToStart(test);
        var rows = await Task.WhenAll(keys.Select(key => other.ReadAsync(key)));
        var writes = keys.Zip(rows, (key, row) => storage.WriteAsync(key, row, """{"by":"group"}""")).ToList();

        await using (var database = test.Open())
        await using (var connection = await database.DataSource.OpenConnectionAsync())
        await using (var holder = await connection.BeginTransactionAsync())
        {
            await using var command = connection.CreateCommand();
            command.CommandText = "UPDATE OrleansStorage SET Version = Version WHERE GrainIdExtensionString = 'op/acme/3/'";
            command.Transaction = holder;
            await command.ExecuteNonQueryAsync();
            await storage.StartAsync();

            Assert.Matches("(?i)lock.* time ?out", (await Assert.ThrowsAsync<StorageFaultException>(() => writes[3])).Message);
            await Task.WhenAll(writes.Where((_, number) => number != 3));
        }

        Assert.Equal([2, 2, 2, 1, 2, 2], (await test.VersionsAsync()).OrderBy(row => row.Key, StringComparer.Ordinal).Select(row => row.Value));
    }

    [SkippableFact]
    public async Task Connections_that_broke_a_moment_ago_cost_one_write_and_no_read()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(test);
        await using var storage = await TextStorage.GroupCommitAsync(test.At(network.ConnectionString), clock: new FakeTimeProvider());
        await UseEveryConnectionAsync(storage);

        network.Cut();
        network.GoOn();

        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/0/"));
        await UseEveryConnectionAsync(storage);
    }

    [SkippableFact]
    public async Task A_question_whose_connection_broke_a_moment_ago_is_asked_again()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(test);
        await using var storage = await TextStorage.GroupCommitAsync(test.At(network.ConnectionString), clock: new FakeTimeProvider());
        await storage.InsertAsync("op/acme/0/");
        await UseEveryConnectionAsync(storage);

        network.Cut();
        network.GoOn();

        Assert.Equal("1", (await storage.ReadAsync("op/acme/0/")).ETag);
        Assert.Empty(await storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/", "acme/A1/~", 10)));
    }

    [SkippableFact]
    public async Task Connections_that_broke_while_they_were_idle_cost_nothing()
    {
        var clock = new FakeTimeProvider();
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(test);
        await using var storage = await TextStorage.GroupCommitAsync(test.At(network.ConnectionString), clock: clock);
        await UseEveryConnectionAsync(storage);

        network.Cut();
        network.GoOn();
        clock.Advance(TimeSpan.FromSeconds(1));

        await UseEveryConnectionAsync(storage);
    }

    [SkippableFact]
    public async Task A_firewall_that_forgot_idle_connections_costs_no_more_than_a_short_wait()
    {
        var clock = new FakeTimeProvider();
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(test);
        await using var storage = await TextStorage.GroupCommitAsync(test.At(network.ConnectionString), clock: clock);
        await UseEveryConnectionAsync(storage);

        network.ForgetConnections();
        clock.Advance(TimeSpan.FromSeconds(1));

        // Orleans gives up a call after ten seconds.
        await UseEveryConnectionAsync(storage).WaitAsync(TimeSpan.FromSeconds(9));
    }

    [SkippableFact]
    public async Task A_pool_of_three_connections_is_enough()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        var pool = engine is StorageEngine.SqlServer ? "Max Pool Size=3" : "Maximum Pool Size=3";
        await using var storage = await TextStorage.GroupCommitAsync(test.At($"{test.ConnectionString};{pool}"));
        await using var first = await storage.DataSource.OpenConnectionAsync();
        await using var second = await storage.DataSource.OpenConnectionAsync();
        await using var third = await storage.DataSource.OpenConnectionAsync();

        await UseEveryConnectionAsync(storage);
    }

    private static async Task UseEveryConnectionAsync(TextStorage storage)
    {
        var key = $"op/acme/{Guid.NewGuid()}/";
        await storage.InsertAsync(key);
        Assert.Equal("1", (await storage.ReadAsync(key)).ETag);
        Assert.Empty(await storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/", "acme/A1/~", 10)));
    }
}

public abstract class GroupCommitFaultTests
{
    private readonly StorageEngine engine;

    private protected GroupCommitFaultTests(StorageEngine engine) => this.engine = engine;

    /// <summary>Makes the database refuse one row.</summary>
    private protected abstract string Poison { get; }

    private protected abstract string Antidote { get; }

    [SkippableFact]
    public async Task A_row_that_the_database_refuses_hurts_no_other_of_its_group()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = TextStorage.GroupCommitToStart(test);
        await test.ExecuteAsync(Poison);
        var before = Keys("before").Select(key => storage.InsertAsync(key)).ToList();
        var poisoned = storage.InsertAsync("op/acme/poison/");
        var after = Keys("after").Select(key => storage.InsertAsync(key)).ToList();

        await storage.StartAsync();

        await Assert.ThrowsAsync<StorageFaultException>(() => poisoned);
        await Task.WhenAll([.. before, .. after]);
        Assert.Equal([.. Keys("after"), .. Keys("before")], (await test.VersionsAsync()).Keys.Order(StringComparer.Ordinal));
    }

    [SkippableFact]
    public async Task After_a_refused_group_no_transaction_is_open_and_the_storage_goes_on()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await using var other = await TextStorage.GroupCommitAsync(test);

        // From here on it has a connection of its own; a new one could be the one in question, which the pool would tidy up.
        await other.InsertAsync("op/acme/before/");
        await test.ExecuteAsync(Poison);
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/poison/"));

        await other.InsertAsync("op/acme/others/");
        await storage.InsertAsync("op/acme/own/");
        await test.ExecuteAsync(Antidote);
        await storage.InsertAsync("op/acme/poison/");

        Assert.Equal(["op/acme/before/", "op/acme/others/", "op/acme/own/", "op/acme/poison/"], (await test.VersionsAsync()).Keys.Order());
    }

    [SkippableFact]
    public async Task While_the_table_is_missing_every_call_fails_and_afterwards_none()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test);
        await storage.InsertAsync("op/acme/before/");
        await RenameAsync(test, "OrleansStorage", "Elsewhere");

        await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/during/"));
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync("op/acme/before/"));
        await Assert.ThrowsAsync<StorageFaultException>(() => storage.ReadAsync(new RowRange(new(RowIndex.Open), "acme/A1/", "acme/A1/~", 10)));

        await RenameAsync(test, "Elsewhere", "OrleansStorage");
        Assert.Equal("1", (await storage.ReadAsync("op/acme/before/")).ETag);
        await storage.InsertAsync("op/acme/after/");
        Assert.Equal(["op/acme/after/", "op/acme/before/"], (await test.VersionsAsync()).Keys.Order());
    }

    private static IEnumerable<string> Keys(string name) => Enumerable.Range(0, 5).Select(number => $"op/acme/{name} {number}/");

    private static Task RenameAsync(TestDatabase test, string from, string to) => test.ExecuteAsync(
        test.Engine is StorageEngine.SqlServer ? $"EXEC sp_rename '{from}', '{to}', 'OBJECT'" : $"ALTER TABLE {from} RENAME TO {to}");
}
