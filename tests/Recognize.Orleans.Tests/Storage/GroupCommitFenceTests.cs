using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class GroupCommitFenceOnPostgreSql() : GroupCommitFenceTests(StorageEngine.PostgreSql)
{
    [SkippableFact]
    public async Task A_silo_whose_row_somebody_holds_locked_is_not_held_up()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await JoinAsync(test, SiloStatus.Active);
        await using var storage = await TextStorage.GroupCommitAsync(test, silo: Silo);
        await using var database = test.Open();
        await using var connection = await database.DataSource.OpenConnectionAsync();
        await using var holder = await connection.BeginTransactionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = "LOCK TABLE OrleansMembershipTable, RecognizeCluster IN EXCLUSIVE MODE";
        await command.ExecuteNonQueryAsync();

        await storage.InsertAsync("op/acme/0/");

        Assert.Equal(["op/acme/0/"], (await test.VersionsAsync()).Keys);
    }
}

public sealed class GroupCommitFenceOnSqlServer() : GroupCommitFenceTests(StorageEngine.SqlServer);

// Where several silos share a database: what comes too late, or from a silo that is none any more, writes nothing.
public abstract class GroupCommitFenceTests
{
    private protected static readonly SiloIdentity Silo = new("blue", "127.0.0.1", 11111, 7);
    private static readonly string[] Before = ["op/acme/0/", "op/acme/1/"];

    private readonly StorageEngine engine;
    private readonly Guard guard = new();

    private protected GroupCommitFenceTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task A_statement_that_comes_after_its_time_writes_nothing_and_never_will()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test, guard: guard);
        guard.Time = DateTime.UtcNow.AddHours(-1);

        var fault = await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/0/"));

        Assert.False(fault.MayBeWritten);
        Assert.True(StorageFaults.IsRefusal(fault));
        Assert.Empty(await test.VersionsAsync());
        guard.Time = DateTime.UtcNow.AddHours(1);
        await storage.InsertAsync("op/acme/0/");
        Assert.Equal(["op/acme/0/"], (await test.VersionsAsync()).Keys);
    }

    [SkippableFact]
    public async Task A_group_that_comes_late_is_sent_again_when_the_time_was_measured_anew()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var other = await TextStorage.GroupCommitAsync(test);
        await other.InsertAsync("op/acme/exists/");
        await using var storage = TextStorage.GroupCommitToStart(test, guard: guard);
        (guard.Time, guard.Measured) = (DateTime.UtcNow.AddHours(-1), DateTime.UtcNow.AddHours(1));
        var duplicate = storage.InsertAsync("op/acme/exists/");
        var writes = new[] { storage.InsertAsync("op/acme/0/"), storage.WriteAsync("op/acme/exists/", await other.ReadAsync("op/acme/exists/"), "{}") };

        await storage.StartAsync();

        await Assert.ThrowsAsync<global::Orleans.Storage.InconsistentStateException>(() => duplicate);
        await Task.WhenAll(writes);
        Assert.Equal([("op/acme/0/", 1), ("op/acme/exists/", 2)], (await test.VersionsAsync()).Select(row => (row.Key, row.Value)).Order());
        Assert.Equal((1, 0), (guard.Measurements, guard.Refusals));
    }

    [SkippableFact]
    public async Task A_group_that_is_late_by_the_new_time_too_is_refused_after_one_measurement()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var storage = await TextStorage.GroupCommitAsync(test, guard: guard);
        (guard.Time, guard.Measured) = (DateTime.UtcNow.AddHours(-2), DateTime.UtcNow.AddHours(-1));

        var fault = await Assert.ThrowsAsync<StorageFaultException>(() => storage.InsertAsync("op/acme/0/"));

        Assert.Equal((false, 1), (fault.MayBeWritten, guard.Measurements));
        Assert.Empty(await test.VersionsAsync());
    }

    [SkippableTheory]
    [InlineData(SiloStatus.Joining)]
    [InlineData(SiloStatus.Active)]
    [InlineData(SiloStatus.ShuttingDown)]
    [InlineData(SiloStatus.Stopping)]
    public async Task A_silo_that_lives_may_write_whatever_it_is_about_to_do(SiloStatus status)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await JoinAsync(test, status);
        await using var storage = await TextStorage.GroupCommitAsync(test, guard: guard, silo: Silo);

        await storage.InsertAsync("op/acme/0/");

        Assert.Equal(["op/acme/0/"], (await test.VersionsAsync()).Keys);
        Assert.Equal(0, guard.Refusals);
    }

    [SkippableTheory]
    [InlineData("UPDATE OrleansMembershipTable SET Status = 6", "UPDATE OrleansMembershipTable SET Status = 3")]
    [InlineData("UPDATE OrleansMembershipTable SET Generation = 8", "UPDATE OrleansMembershipTable SET Generation = 7")]
    [InlineData("UPDATE OrleansMembershipTable SET Port = 11112", "UPDATE OrleansMembershipTable SET Port = 11111")]
    [InlineData("UPDATE OrleansMembershipTable SET Address = '127.0.0.2'", "UPDATE OrleansMembershipTable SET Address = '127.0.0.1'")]
    [InlineData("UPDATE RecognizeCluster SET ClusterId = 'green'", "UPDATE RecognizeCluster SET ClusterId = 'blue'")]
    [InlineData("UPDATE RecognizeCluster SET ServiceId = 'another'", "UPDATE RecognizeCluster SET ServiceId = 'recognize'")]
    public async Task A_silo_that_is_dead_or_gone_or_whose_cluster_has_lost_the_database_writes_nothing(string lost, string regained)
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await JoinAsync(test, SiloStatus.Active);
        await using var other = await TextStorage.GroupCommitAsync(test);
        await Task.WhenAll(Before.Select(key => other.InsertAsync(key)));
        await using var storage = TextStorage.GroupCommitToStart(test, guard: guard, silo: Silo);
        await test.ExecuteAsync(lost);
        Task[] writes =
        [
            storage.InsertAsync("op/acme/2/"),
            storage.InsertAsync(Before[0]),
            storage.WriteAsync(Before[0], new() { ETag = "1" }, "[]"),
            storage.ClearAsync(Before[1], new GrainState<TextStorage.Text> { ETag = "1" }),
        ];

        await storage.StartAsync();

        var faults = await Task.WhenAll(writes.Select(write => Assert.ThrowsAsync<SiloFencedException>(() => write)));
        Assert.All(faults, fault => Assert.True(StorageFaults.IsRefusal(fault)));
        Assert.Equal(writes.Length, guard.Refusals);
        Assert.Equal([1, 1], (await test.VersionsAsync()).Values);
        Assert.Equal("{}", (await storage.ReadAsync(Before[0])).State!.Json);

        await test.ExecuteAsync(regained);
        await storage.InsertAsync("op/acme/2/");
        Assert.Equal([.. Before, "op/acme/2/"], (await test.VersionsAsync()).Keys.Order());
    }

    private protected static async Task JoinAsync(TestDatabase test, SiloStatus status)
    {
        const string Time = "'2025-05-21 10:30:00'";
        await test.ExecuteAsync($"INSERT INTO OrleansMembershipVersionTable (DeploymentId, Timestamp, Version) VALUES ('blue', {Time}, 1)");
        await test.ExecuteAsync($"""
            INSERT INTO OrleansMembershipTable (DeploymentId, Address, Port, Generation, SiloName, HostName, Status, ProxyPort, StartTime, IAmAliveTime)
            VALUES ('blue', '127.0.0.1', 11111, 7, 'node-1', 'localhost', {(int)status}, 30000, {Time}, {Time})
            """);
        await test.ExecuteAsync($"INSERT INTO RecognizeCluster (ServiceId, ClusterId, ClaimedAt, NewestTime) VALUES ('recognize', 'blue', {Time}, {Time})");
    }

    private sealed class Guard : WriteGuard
    {
        public DateTime Time { get; set; } = DateTime.MaxValue;

        /// <summary>What the next measurement finds.</summary>
        public DateTime? Measured { get; set; }

        public int Measurements { get; private set; }

        public int Refusals { get; private set; }

        public override DateTime Until => Time;

        public override Task<bool> TryMeasureAgainAsync(CancellationToken cancellationToken)
        {
            Measurements++;
            Time = Measured ?? Time;
            return Task.FromResult(Measured is not null);
        }

        // From the calls that were refused, at once.
        public override void Refused()
        {
            lock (this)
            {
                Refusals++;
            }
        }
    }
}
