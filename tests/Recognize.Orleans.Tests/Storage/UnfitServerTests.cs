using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Storage;

/// <summary>Servers and databases that answer, and on which the service would fail sooner or later: the start says so.</summary>
public sealed class UnfitServerTests
{
    [SkippableTheory]
    [InlineData("transaction")]
    [InlineData("statement")]
    public async Task A_pooler_that_shares_sessions_is_refused(string poolMode)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var pooler = await PgBouncer.StartAsync(database, poolMode);

        Assert.Contains("pool_mode = session", await RefusalAsync(database.At(pooler.ConnectionString)), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_pooler_that_gives_each_client_a_session_is_as_good_as_none()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var pooler = await PgBouncer.StartAsync(database, "session");

        await using var service = await TestService.StartAsync(database.At(pooler.ConnectionString));

        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
        Assert.Equal(["txn-1"], await service.Acme.PendingIdsAsync("A1"));
    }

    [SkippableTheory]
    [InlineData("LATIN1")]
    [InlineData("SQL_ASCII")]
    public async Task A_database_that_cannot_store_every_text_is_refused(string encoding)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql, applySchema: false, $"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");

        var refusal = await RefusalAsync(database, new() { ["Recognize:Storage:ApplySchema"] = "true" });

        Assert.Contains($"encoding {encoding}", refusal, StringComparison.Ordinal);
        Assert.Contains("ENCODING 'UTF8'", refusal, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("synchronous_commit = off", "loses what was acknowledged")]
    [InlineData("default_transaction_read_only = on", "read-only for this user")]
    public async Task A_database_that_loses_or_refuses_writes_is_refused(string setting, string why)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await database.SetAsync(setting);

        Assert.Contains(why, await RefusalAsync(database), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Everything_that_is_wrong_with_a_server_is_told_at_once()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql, applySchema: false, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        await database.SetAsync("synchronous_commit = off");

        var refusal = await RefusalAsync(database);

        Assert.Contains("LATIN1", refusal, StringComparison.Ordinal);
        Assert.Contains("synchronous_commit", refusal, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("DELETE", "OrleansStorage")]
    [InlineData("INSERT", "OrleansMembershipTable")]
    [InlineData("UPDATE", "RecognizeCluster")]
    [InlineData("SELECT", "OrleansQuery")]
    [InlineData("SELECT", "OrleansMembershipVersionTable")]
    public async Task A_login_that_lacks_a_right_is_refused_by_the_name_of_the_table(string right, string table)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var login = await LimitedLogin.CreateAsync(database);
        await database.ExecuteAsync($"REVOKE {right} ON {table} FROM {login.Name}");

        var refusal = await RefusalAsync(database.At(login.ConnectionString));

        Assert.Contains($"may not {right} on {table}", refusal, StringComparison.Ordinal);
        Assert.Equal(2, refusal.Split('\n').Length);
    }

    [SkippableFact]
    public async Task A_login_that_can_do_what_the_documentation_grants_is_enough()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var login = await LimitedLogin.CreateAsync(database);

        await using var service = await TestService.StartAsync(database.At(login.ConnectionString));

        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
    }

    [Fact]
    public async Task A_folder_that_does_not_exist_is_no_place_for_the_sqlite_file()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        var missing = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid()}");

        var refusal = await RefusalAsync(database, new() { ["ConnectionStrings:Recognize"] = $"Data Source={Path.Combine(missing, "recognize.db")}" });

        Assert.Contains($"The folder {missing} does not exist", refusal, StringComparison.Ordinal);
        Assert.False(Directory.Exists(missing));
    }

    [Fact]
    public async Task A_log_without_its_database_is_not_deleted()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        var log = SqliteDatabase.FileOf(database.ConnectionString) + "-wal";
        await File.WriteAllTextAsync(log, "All that is left.");

        Assert.Contains(log, await RefusalAsync(database), StringComparison.Ordinal);
        Assert.Equal("All that is left.", await File.ReadAllTextAsync(log));
    }

    private static async Task<string> RefusalAsync(TestDatabase database, Dictionary<string, string?>? settings = null)
    {
        var refusal = await Assert.ThrowsAsync<StartRefusedException>(async () =>
        {
            await using var app = await ServiceHost.BuildAsync(TestService.Arguments(database, settings));
        });
        return refusal.Message;
    }
}
