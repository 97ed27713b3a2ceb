using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime.MembershipService;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class MembershipOnPostgreSql() : MembershipTests(StorageEngine.PostgreSql);

public sealed class MembershipOnSqlServer() : MembershipTests(StorageEngine.SqlServer);

// Orleans' own membership table over the stored queries: a silo's row and the version of the table change together or not at all.
public abstract class MembershipTests
{
    private readonly StorageEngine engine;

    private protected MembershipTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task A_new_table_is_empty_and_has_version_zero_however_many_silos_begin_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();

        var tables = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => StartAsync(database))));

        var data = await tables[0].ReadAllAsync();
        Assert.Equal((0, 0), (data.Members.Count, data.Version.Version));
    }

    [SkippableFact]
    public async Task A_silo_that_joins_is_read_back_and_advances_the_version()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        var entry = Silo(1, SiloStatus.Active);
        entry.AddSuspector(Silo(2).SiloAddress, entry.StartTime);

        Assert.True(await table.InsertRowAsync(entry, Expecting(0)));
        Assert.True(await table.UpdateRowAsync(entry, "1", Expecting(1)));

        var data = await table.ReadRowAsync(entry.SiloAddress);
        var read = Assert.Single(data.Members).Item1;
        Assert.Equal(2, data.Version.Version);
        Assert.Equal(
            (entry.SiloAddress, entry.SiloName, entry.HostName, entry.Status, entry.ProxyPort, entry.StartTime, entry.IAmAliveTime),
            (read.SiloAddress, read.SiloName, read.HostName, read.Status, read.ProxyPort, read.StartTime, read.IAmAliveTime));
        Assert.Equal(Silo(2).SiloAddress, Assert.Single(read.SuspectTimes!).Item1);
        Assert.Empty((await table.ReadRowAsync(Silo(2).SiloAddress)).Members);
    }

    [SkippableFact]
    public async Task A_silo_cannot_join_twice_nor_with_a_version_that_is_gone()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        Assert.True(await table.InsertRowAsync(Silo(1), Expecting(0)));

        Assert.False(await table.InsertRowAsync(Silo(1), Expecting(1)));
        Assert.False(await table.InsertRowAsync(Silo(2), Expecting(0)));

        var data = await table.ReadAllAsync();
        Assert.Equal((1, 1), (data.Members.Count, data.Version.Version));
    }

    [SkippableFact]
    public async Task A_change_with_a_version_that_is_gone_or_of_a_silo_that_is_unknown_changes_nothing()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        Assert.True(await table.InsertRowAsync(Silo(1), Expecting(0)));

        Assert.False(await table.UpdateRowAsync(Silo(1, SiloStatus.Dead), "0", Expecting(0)));
        Assert.False(await table.UpdateRowAsync(Silo(2, SiloStatus.Dead), "1", Expecting(1)));

        var data = await table.ReadAllAsync();
        Assert.Equal(SiloStatus.Joining, Assert.Single(data.Members).Item1.Status);
        Assert.Equal(1, data.Version.Version);
    }

    [SkippableFact]
    public async Task Of_many_silos_that_join_on_one_version_exactly_one_does()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);

        var joined = await Task.WhenAll(Enumerable.Range(1, 16).Select(number => Task.Run(() => table.InsertRowAsync(Silo(number), Expecting(0)))));

        var data = await table.ReadAllAsync();
        Assert.Equal((1, 1, 1), (joined.Count(won => won), data.Members.Count, data.Version.Version));
    }

    [SkippableFact]
    public async Task Of_many_changes_on_one_version_exactly_one_is_made_while_signs_of_life_go_on()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        Assert.True(await table.InsertRowAsync(Silo(1), Expecting(0)));

        var alive = Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => table.UpdateIAmAliveAsync(Silo(1)))));
        var changed = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => table.UpdateRowAsync(Silo(1, SiloStatus.Active), "1", Expecting(1)))));
        await alive;

        var data = await table.ReadAllAsync();
        Assert.Equal((1, 2), (changed.Count(won => won), data.Version.Version));
        Assert.Equal(SiloStatus.Active, Assert.Single(data.Members).Item1.Status);
    }

    [SkippableFact]
    public async Task A_cleanup_removes_the_silos_long_gone_and_never_an_active_one()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        var suspected = Silo(1, SiloStatus.Dead);
        suspected.AddSuspector(Silo(3).SiloAddress, suspected.StartTime);
        await table.InsertRowAsync(suspected, Expecting(0));
        await table.UpdateRowAsync(suspected, "1", Expecting(1));
        await table.InsertRowAsync(Silo(2, SiloStatus.Dead), Expecting(2));
        await table.InsertRowAsync(Silo(3, SiloStatus.Active), Expecting(3));

        await table.CleanupDefunctSiloEntriesAsync(Silo(1).IAmAliveTime.AddSeconds(1));

        Assert.Equal(Silo(3).SiloAddress, Assert.Single((await table.ReadAllAsync()).Members).Item1.SiloAddress);
    }

    [SkippableFact]
    public async Task Deleting_a_cluster_leaves_no_row_of_it()
    {
        await using var test = await TestDatabase.CreateAsync(engine);
        await using var database = test.Open();
        var table = await StartAsync(database);
        await table.InsertRowAsync(Silo(1), Expecting(0));

        await table.DeleteMembershipTableEntriesAsync("test");

        Assert.Empty(await test.QueryAsync("SELECT Port FROM OrleansMembershipTable"));
        Assert.Empty(await test.QueryAsync("SELECT Version FROM OrleansMembershipVersionTable"));
    }

    private static async Task<AdoNetClusteringTable> StartAsync(Database database)
    {
        var table = new AdoNetClusteringTable(
            EmptyServices.Instance,
            Options.Create(new ClusterOptions { ClusterId = "test", ServiceId = "recognize" }),
            Options.Create(new AdoNetClusteringSiloOptions { Invariant = database.Invariant, DataSource = database.DataSource }),
            NullLogger<AdoNetClusteringTable>.Instance);
        await table.InitializeMembershipTableAsync(tryInitTableVersion: true);
        return table;
    }

    // The table is given the version that a change leads to, with the mark of the one it starts from.
    private static TableVersion Expecting(int version) => new TableVersion(version, $"{version}").Next();

    private static MembershipEntry Silo(int number, SiloStatus status = SiloStatus.Joining) => new()
    {
        SiloAddress = SiloAddress.New(IPAddress.Loopback, 11_000 + number, generation: 7),
        SiloName = $"silo-{number}",
        HostName = "host",
        Status = status,
        ProxyPort = 30_000 + number,
        StartTime = new DateTime(2025, 5, 21, 10, 30, 0, DateTimeKind.Utc),
        IAmAliveTime = new DateTime(2025, 5, 21, 10, 31, 0, DateTimeKind.Utc),
    };

    private sealed class EmptyServices : IServiceProvider
    {
        public static readonly EmptyServices Instance = new();

        public object? GetService(Type serviceType) => null;
    }
}
