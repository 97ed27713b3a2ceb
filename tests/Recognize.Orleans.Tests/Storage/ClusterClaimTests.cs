using System.Globalization;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class ClusterClaimsOnPostgreSql() : ClusterClaimTests(StorageEngine.PostgreSql)
{
    protected override string Ago(int seconds) => $"clock_timestamp() - interval '{seconds} seconds'";
}

public sealed class ClusterClaimsOnSqlServer() : ClusterClaimTests(StorageEngine.SqlServer)
{
    protected override string Ago(int seconds) => $"DATEADD(SECOND, -{seconds}, SYSUTCDATETIME())";
}

/// <summary>The file has one process, so that a claim is never denied there; what remains is the newest time.</summary>
public sealed class ClusterClaimsOnSqlite
{
    [Fact]
    public async Task The_newest_time_is_advanced_and_never_set_back()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var database = test.Open();

        await NewestTime.IsAdvancedAndNeverSetBackAsync(database);
    }

    [Fact]
    public async Task A_hold_of_the_sweeps_is_told_to_whoever_claims_next()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var database = test.Open();

        await NewestTime.HoldsSweepsForWhoeverClaimsNextAsync(database);
    }

    [Fact]
    public async Task A_row_that_was_written_last_is_newer_than_the_newest_time_that_was_renewed()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var database = test.Open();
        await test.ExecuteAsync(
            """
            INSERT INTO OrleansStorage (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, ModifiedOn, Version)
            VALUES (1, 0, 0, 1, 'operation', 'op/acme/txn-1', 'recognize', '2999-05-21T10:30:00.125Z', 1)
            """);

        var claim = await database.ClaimAsync("recognize", "one", CancellationToken.None);

        Assert.Equal(new DateTimeOffset(2999, 5, 21, 10, 30, 0, 125, TimeSpan.Zero), claim.Newest);
    }

    [Fact]
    public async Task Another_cluster_has_the_file_as_soon_as_it_has_the_lock()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var database = test.Open();
        await database.ClaimAsync("recognize", "one", CancellationToken.None);

        Assert.Equal("two", (await database.ClaimAsync("recognize", "two", CancellationToken.None)).ClusterId);
    }
}

/// <summary>Which cluster a service id belongs to, and what the database tells a silo of itself.</summary>
public abstract class ClusterClaimTests : IAsyncLifetime
{
    private readonly StorageEngine engine;
    private TestDatabase? test;
    private Database? opened;

    private protected ClusterClaimTests(StorageEngine engine) => this.engine = engine;

    private TestDatabase Test
    {
        get
        {
            Skip.If(test is null, TestDatabase.WhyUnavailable(engine));
            return test!;
        }
    }

    private Database Database => opened ??= Test.Open();

    public async Task InitializeAsync() => test = TestDatabase.WhyUnavailable(engine) is null ? await TestDatabase.CreateAsync(engine) : null;

    public async Task DisposeAsync()
    {
        await (opened?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (test?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    protected abstract string Ago(int seconds);

    [SkippableFact]
    public async Task A_service_belongs_to_the_cluster_that_claimed_it_first()
    {
        Assert.Equal("one", await ClaimAsync("one"));
        Assert.Equal("one", await ClaimAsync("two"));
        Assert.Equal("one", await ClaimAsync("one"));
        Assert.Equal("two", (await Database.ClaimAsync("another", "two", CancellationToken.None)).ClusterId);
    }

    [SkippableFact]
    public async Task Of_many_clusters_that_claim_a_service_at_once_one_has_it()
    {
        var owners = await Task.WhenAll(Enumerable.Range(0, 12).Select(number => Task.Run(() => ClaimAsync($"cluster-{number}"))));

        Assert.Single(owners.Distinct());
    }

    [SkippableFact]
    public async Task A_cluster_without_a_sign_of_life_for_fifteen_seconds_loses_its_service()
    {
        await ClaimAsync("one");
        await SetClaimedAsync(ago: 14);
        Assert.Equal("one", await ClaimAsync("two"));

        await SetClaimedAsync(ago: 16);
        Assert.Equal("two", await ClaimAsync("two"));
        Assert.Equal("two", await ClaimAsync("one"));
    }

    [SkippableFact]
    public async Task Of_many_that_take_a_service_over_at_once_one_has_it()
    {
        await ClaimAsync("gone");
        await SetClaimedAsync(ago: 16);

        var owners = await Task.WhenAll(Enumerable.Range(0, 12).Select(number => Task.Run(() => ClaimAsync($"cluster-{number}"))));

        Assert.NotEqual("gone", Assert.Single(owners.Distinct()));
    }

    [SkippableTheory]
    [InlineData("one", SiloStatus.Active, 5, "one")]
    [InlineData("one", SiloStatus.Joining, 5, "one")]
    [InlineData("one", SiloStatus.Dead, 5, "two")]
    [InlineData("one", SiloStatus.Active, 16, "two")]
    [InlineData("one", SiloStatus.Active, -3_600, "two")]
    [InlineData("three", SiloStatus.Active, 5, "two")]
    public async Task A_silo_that_lives_keeps_the_service_for_its_cluster(string clusterId, SiloStatus status, int aliveAgo, string owner)
    {
        await ClaimAsync("one");
        await SetClaimedAsync(ago: 60);
        await AddSiloAsync(clusterId, status, aliveAgo);

        Assert.Equal(owner, await ClaimAsync("two"));
    }

    [SkippableFact]
    public async Task A_renewed_claim_is_fresh_and_one_that_was_lost_stays_lost()
    {
        await ClaimAsync("one");
        await SetClaimedAsync(ago: 60);
        await Database.RenewClaimAsync("recognize", "one", DateTimeOffset.UtcNow, CancellationToken.None);
        Assert.Equal("one", await ClaimAsync("two"));

        await SetClaimedAsync(ago: 60);
        await ClaimAsync("two");
        await Database.RenewClaimAsync("recognize", "one", DateTimeOffset.UtcNow, CancellationToken.None);
        Assert.Equal("two", await ClaimAsync("three"));
    }

    [SkippableFact]
    public Task The_newest_time_is_advanced_and_never_set_back() => NewestTime.IsAdvancedAndNeverSetBackAsync(Database);

    [SkippableFact]
    public Task A_hold_of_the_sweeps_is_told_to_whoever_claims_next() => NewestTime.HoldsSweepsForWhoeverClaimsNextAsync(Database);

    [SkippableFact]
    public async Task A_look_tells_of_the_silo_and_of_the_cluster_that_has_the_service()
    {
        Assert.Equal((null, null), await LookAsync());

        await ClaimAsync("one");
        await AddSiloAsync("one", SiloStatus.Active, aliveAgo: 1);
        Assert.Equal((SiloStatus.Active, "one"), await LookAsync());

        await Test.ExecuteAsync("UPDATE OrleansMembershipTable SET Status = 6");
        Assert.Equal((SiloStatus.Dead, "one"), await LookAsync());
    }

    [SkippableFact]
    public async Task A_look_tells_the_databases_time()
    {
        var before = await Database.ReadClockAsync(CancellationToken.None);
        var look = await Database.LookAsync("recognize", Silo, CancellationToken.None);
        var after = await Database.ReadClockAsync(CancellationToken.None);

        Assert.InRange(look.Now, before, after);
    }

    private static SiloIdentity Silo => new("one", "127.0.0.1", 11_111, 7);

    private async Task<string> ClaimAsync(string clusterId) => (await Database.ClaimAsync("recognize", clusterId, CancellationToken.None)).ClusterId;

    private async Task<(SiloStatus?, string?)> LookAsync()
    {
        var look = await Database.LookAsync("recognize", Silo, CancellationToken.None);
        return (look.Status, look.ClusterId);
    }

    private Task SetClaimedAsync(int ago) => Test.ExecuteAsync($"UPDATE RecognizeCluster SET ClaimedAt = {Ago(ago)}");

    private Task AddSiloAsync(string clusterId, SiloStatus status, int aliveAgo) => Test.ExecuteAsync(string.Create(
        CultureInfo.InvariantCulture,
        $"""
        INSERT INTO OrleansMembershipVersionTable (DeploymentId, Timestamp, Version) VALUES ('{clusterId}', {Ago(0)}, 0);
        INSERT INTO OrleansMembershipTable (DeploymentId, Address, Port, Generation, SiloName, HostName, Status, StartTime, IAmAliveTime)
        VALUES ('{clusterId}', '127.0.0.1', 11111, 7, 'silo', 'host', {(int)status}, {Ago(0)}, {Ago(aliveAgo)});
        """));
}

internal static class NewestTime
{
    private static readonly DateTimeOffset Later = new(2999, 5, 21, 10, 30, 0, TimeSpan.Zero);

    public static async Task IsAdvancedAndNeverSetBackAsync(Database database)
    {
        var now = await database.ReadClockAsync(CancellationToken.None);
        var first = await database.ClaimAsync("recognize", "one", CancellationToken.None);
        Assert.InRange(first.Newest, now.AddSeconds(-1), now.AddMinutes(1));

        await database.RenewClaimAsync("recognize", "one", Later, CancellationToken.None);
        Assert.Equal(Later, (await database.ClaimAsync("recognize", "one", CancellationToken.None)).Newest);

        await database.RenewClaimAsync("recognize", "one", Later.AddDays(-1), CancellationToken.None);
        Assert.Equal(Later, (await database.ClaimAsync("recognize", "one", CancellationToken.None)).Newest);
    }

    public static async Task HoldsSweepsForWhoeverClaimsNextAsync(Database database)
    {
        Assert.Null((await database.ClaimAsync("recognize", "one", CancellationToken.None)).SweepsFrom);

        await database.HoldSweepsAsync("recognize", Later, CancellationToken.None);

        Assert.Equal(Later, (await database.ClaimAsync("recognize", "one", CancellationToken.None)).SweepsFrom);
    }
}
