using System.Data.Common;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage.Sqlite;

public sealed class SqliteDataSourceTests
{
    [Fact]
    public async Task Every_connection_waits_for_writers_and_syncs_what_it_commits()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var database = test.Open();
        await using var connection = await database.DataSource.OpenConnectionAsync();

        Assert.Equal("wal", await ScalarAsync(connection, "PRAGMA journal_mode"));
        Assert.Equal(2L, await ScalarAsync(connection, "PRAGMA synchronous"));
        Assert.Equal(5_000L, await ScalarAsync(connection, "PRAGMA busy_timeout"));
    }

    [Fact]
    public async Task A_transaction_that_an_earlier_user_left_open_is_rolled_back()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var database = test.Open();
        await using (var careless = await database.DataSource.OpenConnectionAsync())
        {
            await ScalarAsync(careless, "CREATE TABLE Kept (Id INTEGER)");
            await ScalarAsync(careless, "BEGIN IMMEDIATE");
            await ScalarAsync(careless, "CREATE TABLE Lost (Id INTEGER)");
        }

        await using var next = await database.DataSource.OpenConnectionAsync();
        await ScalarAsync(next, "BEGIN IMMEDIATE");
        await ScalarAsync(next, "COMMIT");

        Assert.Equal("Kept", await ScalarAsync(next, "SELECT group_concat(name) FROM sqlite_master"));
    }

    [Fact]
    public async Task Many_writers_at_once_all_succeed()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var storage = await TextStorage.StockAsync(test);

        await Task.WhenAll(Enumerable.Range(0, 64).Select(number => Task.Run(async () =>
        {
            var key = $"op/acme/{number}/";
            await storage.WriteAsync(key, await storage.ReadAsync(key), "{}");
        })));

        Assert.Equal(64, (await test.QueryAsync("SELECT Version FROM OrleansStorage")).Count);
    }

    private static async Task<object?> ScalarAsync(DbConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        return await command.ExecuteScalarAsync();
    }
}
