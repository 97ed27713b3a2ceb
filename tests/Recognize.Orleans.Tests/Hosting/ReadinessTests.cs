using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Hosting;

/// <summary>A node that another could stand in for is not ready; what every node meets leaves it ready and degraded.</summary>
public sealed class ReadinessTests
{
    private const int Degraded = 67;
    private const int NotReady = 68;
    private const int Well = 69;

    [Fact]
    public async Task A_deleted_sqlite_file_takes_and_tells_nothing_until_it_is_back()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await TestService.StartAsync(database);
        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
        var file = SqliteDatabase.FileOf(database.ConnectionString);

        File.Move(file, file + ".moved");

        (await service.Acme.CreateAsync("A1", "txn-2")).ShouldBe(Problem.Unavailable, "took no effect");
        (await service.Acme.ReadAsync("txn-2")).ShouldBe(Problem.Unavailable, "Send the request again.");
        Assert.Contains("deleted or replaced", Assert.Single(await service.Logs.WaitForAsync(NotReady)).Message, StringComparison.Ordinal);
        Assert.Contains("deleted or replaced", (await HealthAsync(service)).ShouldBe(503).Body, StringComparison.Ordinal);
        Assert.False(File.Exists(file));

        File.Move(file + ".moved", file);

        await service.Logs.WaitForAsync(Well);
        Assert.Equal("ready", (await HealthAsync(service)).ShouldBe(200).Body);
        (await service.Acme.CreateAsync("A1", "txn-2")).ShouldBeSuccess();
        Assert.Equal(["txn-1", "txn-2"], await service.Acme.PendingIdsAsync("A1"));
    }

    [Fact]
    public async Task A_process_does_not_go_on_with_the_file_that_another_one_started_at_its_path()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await TestService.StartAsync(database);
        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
        Array.ForEach(Directory.GetFiles(Path.GetDirectoryName(SqliteDatabase.FileOf(database.ConnectionString))!), File.Delete);

        await using var second = await TestService.StartAsync(database);
        (await second.Acme.CreateAsync("A1", "txn-2")).ShouldBeSuccess();

        (await service.Acme.CreateAsync("A1", "txn-3")).ShouldBe(Problem.Unavailable);
        (await service.Acme.ReadAsync("txn-2")).ShouldBe(Problem.Unavailable);
        await service.Logs.WaitForAsync(NotReady);
        (await service.Acme.CreateAsync("A1", "txn-3")).ShouldBe(Problem.Unavailable);
        (await HealthAsync(service)).ShouldBe(503);
        Assert.Equal(["txn-2"], await second.Acme.PendingIdsAsync("A1"));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_right_that_was_taken_away_makes_the_node_not_ready(bool groupCommit)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var login = await LimitedLogin.CreateAsync(database);
        await using var service = await TestService.StartAsync(database.At(login.ConnectionString), new() { ["Recognize:Storage:GroupCommit"] = $"{groupCommit}" });

        await database.ExecuteAsync($"REVOKE DELETE ON OrleansStorage FROM {login.Name}");

        Assert.Contains("permission denied", Assert.Single(await service.Logs.WaitForAsync(NotReady)).Message, StringComparison.Ordinal);
        Assert.Contains("permission denied", (await HealthAsync(service)).ShouldBe(503).Body, StringComparison.Ordinal);

        await database.ExecuteAsync($"GRANT DELETE ON OrleansStorage TO {login.Name}");

        await service.Logs.WaitForAsync(Well);
        Assert.Equal("ready", (await HealthAsync(service)).ShouldBe(200).Body);
    }

    [SkippableFact]
    public async Task A_database_whose_disk_is_full_leaves_the_node_ready_and_degraded()
    {
        await using var service = await TestService.StartAsync(StorageEngine.PostgreSql);
        var database = service.Database;
        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();

        await database.ExecuteAsync("""
            CREATE FUNCTION Full_() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
            CREATE TRIGGER Full_ BEFORE INSERT ON OrleansStorage FOR EACH STATEMENT EXECUTE FUNCTION Full_();
            """);

        Assert.Contains("No space left on device", Assert.Single(await service.Logs.WaitForAsync(Degraded)).Message, StringComparison.Ordinal);
        Assert.StartsWith("degraded: a write failed", (await HealthAsync(service)).ShouldBe(200).Body, StringComparison.Ordinal);
        Assert.Equal(1, Gauge.Read(service, "recognize.degraded"));
        var refused = await service.Acme.CreateAsync("A1", "txn-2");
        refused.ShouldBe(Problem.Unavailable);
        Assert.Equal("1", refused["Retry-After"]);
        (await service.Acme.ReadAsync("txn-1")).ShouldBe(200);
        Assert.Equal(["txn-1"], await service.Acme.PendingIdsAsync("A1"));

        await database.ExecuteAsync("DROP TRIGGER Full_ ON OrleansStorage");

        await service.Logs.WaitForAsync(Well);
        Assert.Equal("ready", (await HealthAsync(service)).ShouldBe(200).Body);
        Assert.Equal(0, Gauge.Read(service, "recognize.degraded"));
        (await service.Acme.CreateAsync("A1", "txn-2")).ShouldBeSuccess();
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_database_that_was_read_only_for_a_while_is_read_meanwhile_and_written_afterwards(bool groupCommit)
    {
        await using var service = await TestService.StartAsync(StorageEngine.PostgreSql, new() { ["Recognize:Storage:GroupCommit"] = $"{groupCommit}" });
        var database = service.Database;
        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();

        // As after a failover: the sessions end, and new ones come to a server that only reads.
        await database.SetAsync("default_transaction_read_only = on");
        await database.ExecuteAsync("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");

        await service.Logs.WaitForAsync(Degraded);
        (await service.Acme.CreateAsync("A1", "txn-2")).ShouldBe(Problem.Unavailable);
        (await service.Acme.ReadAsync("txn-1")).ShouldBe(200);
        (await HealthAsync(service)).ShouldBe(200);

        await database.SetAsync("default_transaction_read_only = off");

        await service.Logs.WaitForAsync(Well);
        (await service.Acme.CreateAsync("A1", "txn-2")).ShouldBeSuccess();
        Assert.Equal("ready", (await HealthAsync(service)).ShouldBe(200).Body);
    }

    [SkippableFact]
    public async Task The_probe_of_a_write_leaves_nothing_behind()
    {
        await using var service = await TestService.StartAsync(StorageEngine.PostgreSql);

        await service.Services.GetRequiredService<WriteProbe>().RunAsync();

        Assert.Empty(await service.Database.VersionsAsync());
    }

    private static Task<Answer> HealthAsync(TestService service) =>
        RawHttp.ExchangeAsync(service.Management, RawHttp.Request("GET", "/health/ready", [("Host", service.Management.Authority)]));
}
