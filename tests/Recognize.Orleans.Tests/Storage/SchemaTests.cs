using System.Data.Common;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Orleans.Storage;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class SchemaOnSqlite() : SchemaTests(StorageEngine.Sqlite);

public sealed class SchemaOnPostgreSql() : SchemaOnServerTests(StorageEngine.PostgreSql);

public sealed class SchemaOnSqlServer() : SchemaOnServerTests(StorageEngine.SqlServer);

// SQLite creates its file on the first use; a server is asked to.
public abstract class SchemaOnServerTests : SchemaTests
{
    private readonly StorageEngine engine;

    private protected SchemaOnServerTests(StorageEngine engine)
        : base(engine) => this.engine = engine;

    [SkippableFact]
    public async Task A_database_that_does_not_exist_is_created_by_any_of_several_processes()
    {
        await using var test = await TestDatabase.CreateAsync(engine, applySchema: false);
        await test.DisposeAsync();
        await using var database = test.Open();

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Schema.CreateDatabaseAsync(database)));
        await Schema.CreateDatabaseAsync(database);

        Assert.NotNull(await Schema.CheckAsync(database, CancellationToken.None));
    }

    // As sqlcmd does without -b, and psql without ON_ERROR_STOP and a transaction.
    [SkippableTheory]
    [InlineData(6)]
    [InlineData(5)]
    public async Task A_client_that_goes_on_after_errors_changes_nothing_in_a_database_with_a_schema_either(int version)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await HoldOlderSchemaAsync(test, version);
        var before = await ContentsAsync(test);

        Assert.NotEmpty(await RunFirstScriptAsync(test, goesOnAfterErrors: true));

        Assert.Equal(before, await ContentsAsync(test));
    }
}

public abstract class SchemaTests
{
    private const string Key = "op/acme/invoice 1/";

    private readonly StorageEngine engine;

    private protected SchemaTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task Applying_the_schema_makes_the_database_usable()
    {
        await using var test = await TestDatabase.CreateAsync(engine, applySchema: false);
        await using var database = test.Open();

        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Null(await Schema.CheckAsync(database, CancellationToken.None));
        var row = Assert.Single(await test.QueryAsync("SELECT Version, OldestCompatible FROM RecognizeSchema"));
        Assert.Equal(Schema.Version, Convert.ToInt32(row["Version"], CultureInfo.InvariantCulture));
    }

    [SkippableFact]
    public async Task The_version_of_the_program_is_the_one_that_the_last_script_leads_to()
    {
        await using var test = await TestDatabase.CreateAsync(engine);

        Assert.Equal(Schema.Version, Schema.Scripts(engine)[^1].Version);
    }

    [SkippableFact]
    public async Task Applying_the_schema_twice_changes_nothing()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), "{}");
        await using var database = test.Open();

        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Equal("{}", (await storage.ReadAsync(Key)).State!.Json);
        Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeSchema"));
    }

    [SkippableTheory]
    [InlineData(6)]
    [InlineData(5)]
    public async Task A_script_that_is_run_on_a_database_with_a_schema_fails_and_changes_nothing(int version)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await HoldOlderSchemaAsync(test, version);
        var before = await ContentsAsync(test);

        Assert.NotEmpty(await RunFirstScriptAsync(test, goesOnAfterErrors: false));

        Assert.Equal(before, await ContentsAsync(test));
    }

    [SkippableFact]
    public async Task The_stock_provider_sets_the_open_key_and_clears_it_with_the_write_that_ends_the_operation()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var created = OperationState.Create(new("acme", "A1"), new() { OperationId = "invoice 1", Attempt = "x" }, 7, "n1", DateTimeOffset.UnixEpoch);
        var row = await storage.ReadAsync(Key);

        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created).ToString());
        var pending = await KeysAsync(test);
        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created with { NodeId = "n2" }).ToString());
        var stillPending = await KeysAsync(test);
        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created.Cancel(null, DateTimeOffset.UnixEpoch).Next).ToString());
        var ended = await KeysAsync(test);

        var key = created.Keys.Owner;
        Assert.Equal([new(key, Open: key), new(key, Open: key), new(key)], [pending, stillPending, ended]);
    }

    [SkippableFact]
    public async Task The_stock_provider_takes_the_keys_from_the_state_and_clears_those_that_it_does_not_name()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var row = await storage.ReadAsync(Key);

        await storage.WriteAsync(Key, row, """{"keys":["any/1","any/2","any/3"]}""");
        var all = await KeysAsync(test);
        await storage.WriteAsync(Key, row, """{"keys":[null,null,"any/4"]}""");
        var due = await KeysAsync(test);
        await storage.WriteAsync(Key, row, "{}");
        var none = await KeysAsync(test);

        Assert.Equal([new("any/1", "any/2", "any/3"), new(null, Due: "any/4"), default], [all, due, none]);
    }

    [SkippableFact]
    public async Task The_stock_provider_takes_a_cleared_state_from_every_index()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var row = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(OperationState.Create(new("acme", "A1"), new() { OperationId = "invoice 1", Attempt = "x" }, 7, "n1", DateTimeOffset.UnixEpoch)).ToString());

        await storage.ClearAsync(Key, row);

        Assert.Equal(default, await KeysAsync(test));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_stock_provider_writes_the_owner_key_that_the_program_would_and_never_changes_it(bool decided)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var created = OperationState.Create(new("acme", "A1"), new() { OperationId = "invoice 1", Attempt = "x" }, 7, "n1", DateTimeOffset.UnixEpoch);
        var row = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created).ToString());
        await (decided ? storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created.Cancel(null, DateTimeOffset.UnixEpoch).Next).ToString()) : Task.CompletedTask);

        Assert.Equal("op/acme/A1/1970-01-01T00:00:00.000Z/0000000000000007", (await KeysAsync(test)).Owner);
    }

    [SkippableFact]
    public async Task The_stock_provider_moves_a_tombstone_where_the_program_would_and_the_view_leaves_it_out()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var created = OperationState.Create(new("acme", "A1"), new() { OperationId = "invoice 1", Attempt = "x" }, 7, "n1", DateTimeOffset.UnixEpoch);
        var tombstone = created.Remove(DateTimeOffset.UnixEpoch.AddDays(1));
        var row = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(created).ToString());
        Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeOperations"));

        await storage.WriteAsync(Key, row, new StateSerializer(StateJson.Default).Serialize(tombstone).ToString());

        Assert.Equal(new("op/~/1970-01-02T00:00:00.000Z/0000000000000007"), await KeysAsync(test));
        Assert.Empty(await test.QueryAsync("SELECT * FROM RecognizeOperations"));
    }

    [SkippableFact]
    public async Task Eight_appliers_at_once_on_an_empty_database_all_succeed()
    {
        await using var test = await TestDatabase.CreateAsync(engine, applySchema: false);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            await using var database = test.Open();
            await Schema.ApplyAsync(database, CancellationToken.None);
            Assert.Null(await Schema.CheckAsync(database, CancellationToken.None));
        })));

        Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeSchema"));
    }

    [SkippableFact]
    public async Task A_database_without_the_schema_is_refused_and_the_sentence_names_the_command()
    {
        await using var test = await TestDatabase.CreateAsync(engine, applySchema: false);
        await using var database = test.Open();

        Assert.Contains("'apply-schema'", await Schema.CheckAsync(database, CancellationToken.None), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(5)]
    public async Task A_database_from_before_the_first_release_is_refused_by_the_start_and_by_the_command_and_left_alone(int version)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        await HoldOlderSchemaAsync(test, version);
        var before = await ContentsAsync(test);

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => Schema.ApplyAsync(database, CancellationToken.None));

        Assert.Contains($"schema version {version}", refused.Message, StringComparison.Ordinal);
        Assert.Contains("begin with an empty database", refused.Message, StringComparison.Ordinal);
        Assert.Equal(refused.Message, await Schema.CheckAsync(database, CancellationToken.None));
        Assert.Equal(before, await ContentsAsync(test));
    }

    [SkippableFact]
    public async Task A_newer_database_that_is_compatible_is_accepted_and_left_alone()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        await test.ExecuteAsync($"UPDATE RecognizeSchema SET Version = {Schema.Version + 1}");

        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Null(await Schema.CheckAsync(database, CancellationToken.None));
        var row = Assert.Single(await test.QueryAsync("SELECT Version FROM RecognizeSchema"));
        Assert.Equal(Schema.Version + 1, Convert.ToInt32(row["Version"], CultureInfo.InvariantCulture));
    }

    [SkippableFact]
    public async Task A_newer_database_that_is_marked_incompatible_is_refused_and_left_alone()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        await test.ExecuteAsync($"UPDATE RecognizeSchema SET Version = {Schema.Version + 1}, OldestCompatible = {Schema.Version + 1}");

        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Contains("newer release", await Schema.CheckAsync(database, CancellationToken.None), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task The_clock_of_the_database_is_read_in_UTC()
    {
        await using var test = await TestDatabase.CreateAsync(engine, applySchema: false);
        await using var database = test.Open();

        var clock = await database.ReadClockAsync(CancellationToken.None);

        // Wide enough for a server on another machine, narrower than any time zone.
        Assert.InRange(clock, DateTimeOffset.UtcNow.AddMinutes(-10), DateTimeOffset.UtcNow.AddMinutes(10));
    }

    [SkippableFact]
    public async Task The_unique_index_refuses_a_second_row_for_one_identity()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await InsertAsync(test, Key);

        await Assert.ThrowsAnyAsync<DbException>(() => InsertAsync(test, Key));
    }

    [SkippableTheory]
    [InlineData("op/acme/a/", "op/acme/A/")]
    [InlineData("op/acme/a/", "op/acme/a /")]
    [InlineData("op/acme/é/", "op/acme/e\u0301/")]
    [InlineData("op/acme/ß/", "op/acme/ss/")]
    [InlineData("op/acme/1/", "op/acme/01/")]
    [InlineData("op/acme/a\u200d/", "op/acme/a/")]
    [InlineData("op/acme/\U0001f600/", "op/acme/\U0001f601/")]
    public async Task Keys_that_only_look_alike_are_two_identities_even_when_their_hashes_collide(string one, string other)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await InsertAsync(test, one);

        await InsertAsync(test, other);

        Assert.Equal(2, (await test.QueryAsync("SELECT GrainIdExtensionString FROM OrleansStorage")).Count);
    }

    [SkippableFact]
    public async Task A_key_of_512_characters_is_stored()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var key = "op/acme/".PadRight(511, '\u4e2d') + "/";

        await storage.WriteAsync(key, await storage.ReadAsync(key), "{}");

        Assert.Equal("{}", (await storage.ReadAsync(key)).State!.Json);
    }

    [SkippableFact]
    public async Task Versions_count_from_one()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var state = await storage.ReadAsync(Key);

        await storage.WriteAsync(Key, state, "{}");
        var first = state.ETag;
        await storage.WriteAsync(Key, state, """{"v":1}""");

        Assert.Equal(("1", "2"), (first, state.ETag));
        var read = await storage.ReadAsync(Key);
        Assert.Equal(("2", true, """{"v":1}"""), (read.ETag, read.RecordExists, read.State!.Json));
    }

    [SkippableFact]
    public async Task A_first_write_after_another_first_write_is_refused_and_changes_nothing()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var (winner, loser) = (await storage.ReadAsync(Key), await storage.ReadAsync(Key));
        await storage.WriteAsync(Key, winner, """{"winner":true}""");

        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteAsync(Key, loser, """{"winner":false}"""));

        Assert.Equal("""{"winner":true}""", (await storage.ReadAsync(Key)).State!.Json);
    }

    [SkippableFact]
    public async Task Of_many_first_writes_at_once_exactly_one_wins_and_the_others_learn_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var states = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => storage.ReadAsync(Key)));

        var faults = await Task.WhenAll(states.Select(state => Task.Run(() => Record.ExceptionAsync(() => storage.WriteAsync(Key, state, "{}")))));

        Assert.Single(faults, fault => fault is null);
        Assert.Equal(15, faults.OfType<InconsistentStateException>().Count());
        Assert.Single(await test.QueryAsync("SELECT Version FROM OrleansStorage"));
    }

    [SkippableFact]
    public async Task Of_many_updates_at_once_exactly_one_wins_and_the_others_learn_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), "{}");
        var states = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => storage.ReadAsync(Key)));

        var faults = await Task.WhenAll(states.Select(state => Task.Run(() => Record.ExceptionAsync(() => storage.WriteAsync(Key, state, "{}")))));

        Assert.Single(faults, fault => fault is null);
        Assert.Equal(15, faults.OfType<InconsistentStateException>().Count());
        Assert.Equal("2", (await storage.ReadAsync(Key)).ETag);
    }

    [SkippableFact]
    public async Task An_update_of_a_row_that_is_gone_is_refused_and_does_not_bring_it_back()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var state = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, state, "{}");
        await test.ExecuteAsync("DELETE FROM OrleansStorage");

        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteAsync(Key, state, "{}"));

        Assert.Empty(await test.QueryAsync("SELECT Version FROM OrleansStorage"));
    }

    [SkippableFact]
    public async Task A_cleared_state_keeps_its_row_and_goes_on_counting()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var state = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, state, "{}");

        await storage.ClearAsync(Key, state);

        var cleared = await storage.ReadAsync(Key);
        Assert.Equal(("2", false), (cleared.ETag, cleared.RecordExists));
        await storage.WriteAsync(Key, cleared, """{"again":true}""");
        Assert.Equal("3", (await storage.ReadAsync(Key)).ETag);
    }

    [SkippableFact]
    public async Task A_clear_with_an_outdated_version_is_refused()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var outdated = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, outdated, "{}");
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), """{"v":2}""");

        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearAsync(Key, outdated));

        Assert.Equal("""{"v":2}""", (await storage.ReadAsync(Key)).State!.Json);
    }

    [SkippableFact]
    public async Task A_deleted_state_leaves_no_row()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test, deleteStateOnClear: true);
        var state = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, state, "{}");
        var outdated = await storage.ReadAsync(Key);

        await storage.ClearAsync(Key, state);

        Assert.Empty(await test.QueryAsync("SELECT Version FROM OrleansStorage"));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearAsync(Key, outdated));
    }

    [SkippableFact]
    public async Task The_view_shows_an_operation_as_columns()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        const string key = "op/acme/pay/7/";
        await storage.WriteAsync(key, await storage.ReadAsync(key), """
            {"v":4,"keys":["op/acme/A1/1",null,null],"id":8819,"createdAt":"2025-05-21T10:30:00.123Z","nodeId":"n1","userId":"A1","operationId":"pay/7","externalUserId":"bob",
             "payload":"Pay 5 \u20ac","authType":"biom","attempt":"x","idempotencyKey":"k","status":"approved","decidedAt":"2025-05-21T10:31:00.000Z","decidedWith":"pin"}
            """);

        var row = Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeOperations"));

        Assert.Equal(8819, Convert.ToInt64(row["Id"], CultureInfo.InvariantCulture));
        Assert.Equal(
            ("recognize", "acme", "pay/7", "A1", "bob", "Pay 5 €", null),
            (row["ServiceId"], row["Customer"], row["OperationId"], row["UserId"], row["ExternalUserId"], row["Payload"], row["PayloadBase64"]));
        Assert.Equal(("biom", "approved", "pin", "n1"), (row["RequiredAuthType"], row["Status"], row["DecidedWith"], row["NodeId"]));
        Assert.Equal(new DateTime(2025, 5, 21, 10, 30, 0, 123), UtcOf(row["CreatedAt"]));
        Assert.Equal(new DateTime(2025, 5, 21, 10, 31, 0), UtcOf(row["DecidedAt"]));
        Assert.NotNull(row["ModifiedOn"]);
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(120)]
    [InlineData(123)]
    public async Task The_view_reads_every_time_that_the_program_writes(int milliseconds)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var created = new DateTimeOffset(2025, 5, 21, 10, 30, 0, milliseconds, TimeSpan.Zero);
        var request = new CreateOperation { OperationId = "invoice 1", Attempt = "x" };
        var (_, state) = OperationState.Create(new("acme", "A1"), request, 1, "n1", created)
            .Decide(new() { UserId = "A1", Verdict = Verdict.Deny, AuthType = AuthType.Pin }, created);
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), new StateSerializer(StateJson.Default).Serialize(state).ToString());

        var row = Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeOperations"));

        Assert.Equal((created.UtcDateTime, created.UtcDateTime), (UtcOf(row["CreatedAt"]), UtcOf(row["DecidedAt"])));
    }

    [SkippableTheory]
    [InlineData("pending")]
    [InlineData("expired")]
    public async Task The_view_shows_the_stored_status_whatever_the_clock_says(string status)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), $$"""
            {"v":4,"keys":["op/acme/A1/1",null,null],"id":1,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"n1","userId":"A1","operationId":"invoice 1","expiresAt":"2025-05-21T10:31:00.000Z","status":"{{status}}"}
            """);

        var row = Assert.Single(await test.QueryAsync("SELECT Status, ExpiresAt FROM RecognizeOperations"));

        Assert.Equal((status, new DateTime(2025, 5, 21, 10, 31, 0)), (row["Status"], UtcOf(row["ExpiresAt"])));
    }

    [SkippableFact]
    public async Task The_view_shows_absent_members_as_NULL_and_a_payload_with_NUL_as_base64()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), """
            {"v":4,"keys":["op/acme/A1/1",null,null],"id":1,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"n1","userId":"A1","operationId":"invoice 1","payloadBase64":"YQBi","status":"pending"}
            """);

        var row = Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeOperations"));

        Assert.Equal("YQBi", row["PayloadBase64"]);
        Assert.Equal<object?>([null, null, null, null, null], [row["Payload"], row["ExternalUserId"], row["RequiredAuthType"], row["DecidedWith"], row["DecidedAt"]]);
    }

    [SkippableFact]
    public async Task The_view_shows_the_longest_payload_whole_and_emoji_as_they_are()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var payload = new StringBuilder().Insert(0, "\U0001f600", 16_384 / 2).ToString();
        var json = $$"""{"v":4,"keys":["op/acme/A1/1",null,null],"id":1,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"n1","userId":"A1","operationId":"\ud83d\ude00","payload":{{JsonSerializer.Serialize(payload)}},"status":"pending"}""";
        await storage.WriteAsync(Key, await storage.ReadAsync(Key), json);

        var row = Assert.Single(await test.QueryAsync("SELECT * FROM RecognizeOperations"));

        Assert.Equal(payload, row["Payload"]);
        Assert.Equal("\U0001f600", row["OperationId"]);
    }

    [SkippableFact]
    public async Task The_view_leaves_out_other_grains_and_cleared_operations()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.StockAsync(test);
        var state = await storage.ReadAsync(Key);
        await storage.WriteAsync(Key, state, "{}");
        await storage.ClearAsync(Key, state);
        await InsertAsync(test, "user/acme/A1", type: "user");

        Assert.Empty(await test.QueryAsync("SELECT * FROM RecognizeOperations"));
    }

    // What a database of that schema has, as far as it matters here.
    private protected static async Task HoldOlderSchemaAsync(TestDatabase test, int version) =>
        await (version == Schema.Version
            ? Task.CompletedTask
            : test.ExecuteAsync($"DROP TABLE RecognizeCluster; UPDATE RecognizeSchema SET Version = {version}, OldestCompatible = {version}"));

    /// <summary>Runs the script as its clients do, in their parts, on one connection.</summary>
    /// <returns>What went wrong.</returns>
    private protected static async Task<IReadOnlyList<DbException>> RunFirstScriptAsync(TestDatabase test, bool goesOnAfterErrors)
    {
        var separator = test.Engine is StorageEngine.SqlServer ? "\nGO\n" : ";\n\n";
        var parts = Schema.Scripts(test.Engine)[0].Script.Contents.ReplaceLineEndings("\n").Split(separator, StringSplitOptions.RemoveEmptyEntries);
        return await test.ExecuteInOrderAsync(parts, goesOnAfterErrors);
    }

    /// <summary>The schema's version, its queries, and the tables, views and indexes that there are.</summary>
    private protected static async Task<IReadOnlyList<string>> ContentsAsync(TestDatabase test)
    {
        var objects = test.Engine switch
        {
            StorageEngine.Sqlite => "SELECT name, sql FROM sqlite_master",
            StorageEngine.PostgreSql => "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace",
            _ => "SELECT name, type FROM sys.objects UNION ALL SELECT name, type_desc FROM sys.indexes WHERE name IS NOT NULL",
        };
        var rows = await Task.WhenAll(new[] { "SELECT Version, OldestCompatible FROM RecognizeSchema", "SELECT QueryKey, QueryText FROM OrleansQuery", objects }.Select(test.QueryAsync));
        return [.. rows.SelectMany(row => row).Select(row => string.Join('|', row.Values)).Order(StringComparer.Ordinal)];
    }

    private static async Task<RowKeys> KeysAsync(TestDatabase test)
    {
        var row = Assert.Single(await test.QueryAsync("SELECT OwnerKey, OpenKey, DueKey FROM OrleansStorage"));
        return new((string?)row["OwnerKey"], (string?)row["OpenKey"], (string?)row["DueKey"]);
    }

    private static Task InsertAsync(TestDatabase test, string key, string type = "operation") => test.ExecuteAsync(
        """
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version)
        VALUES (1, 0, 0, 2, @Type, @Key, 'recognize', @Payload, CURRENT_TIMESTAMP, 1)
        """,
        ("Type", type),
        ("Key", key),
        ("Payload", "not JSON"u8.ToArray()));

    // SQLite has no type for times and gives the text; PostgreSQL and SQL Server give times in UTC.
    private static DateTime UtcOf(object? value) => value as DateTime? ??
        DateTimeOffset.Parse((string)value!, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal).UtcDateTime;
}
