using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Orleans.Storage;
using Orleans.TestingHost;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Operations.Pending;
using Recognize.Orleans.Operations.Retention;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Fixtures;

public sealed class SqliteCluster() : ClusterFixture(StorageEngine.Sqlite, groupCommit: true);

public sealed class SqliteStockCluster() : ClusterFixture(StorageEngine.Sqlite, groupCommit: false);

public sealed class PostgreSqlCluster() : ClusterFixture(StorageEngine.PostgreSql, groupCommit: true);

public sealed class PostgreSqlStockCluster() : ClusterFixture(StorageEngine.PostgreSql, groupCommit: false);

public sealed class SqlServerCluster() : ClusterFixture(StorageEngine.SqlServer, groupCommit: true);

public sealed class SqlServerStockCluster() : ClusterFixture(StorageEngine.SqlServer, groupCommit: false);

/// <summary>One silo writes in groups and the other each row by itself, as while a setting is changed node by node.</summary>
public sealed class SqliteMixedCluster() : ClusterFixture(StorageEngine.Sqlite, groupCommit: true, otherGroupCommit: false);

public sealed class PostgreSqlMixedCluster() : ClusterFixture(StorageEngine.PostgreSql, groupCommit: true, otherGroupCommit: false);

public sealed class SqlServerMixedCluster() : ClusterFixture(StorageEngine.SqlServer, groupCommit: true, otherGroupCommit: false);

// One cluster for all classes of an engine: each test has users and ids of its own, and the classes of a collection run one after the other.
[CollectionDefinition(nameof(SqliteCluster))]
public sealed class SharedSqliteCluster : ICollectionFixture<SqliteCluster>;

[CollectionDefinition(nameof(SqliteStockCluster))]
public sealed class SharedSqliteStockCluster : ICollectionFixture<SqliteStockCluster>;

[CollectionDefinition(nameof(PostgreSqlCluster))]
public sealed class SharedPostgreSqlCluster : ICollectionFixture<PostgreSqlCluster>;

[CollectionDefinition(nameof(PostgreSqlStockCluster))]
public sealed class SharedPostgreSqlStockCluster : ICollectionFixture<PostgreSqlStockCluster>;

[CollectionDefinition(nameof(SqlServerCluster))]
public sealed class SharedSqlServerCluster : ICollectionFixture<SqlServerCluster>;

[CollectionDefinition(nameof(SqlServerStockCluster))]
public sealed class SharedSqlServerStockCluster : ICollectionFixture<SqlServerStockCluster>;

[CollectionDefinition(nameof(SqliteMixedCluster))]
public sealed class SharedSqliteMixedCluster : ICollectionFixture<SqliteMixedCluster>;

[CollectionDefinition(nameof(PostgreSqlMixedCluster))]
public sealed class SharedPostgreSqlMixedCluster : ICollectionFixture<PostgreSqlMixedCluster>;

[CollectionDefinition(nameof(SqlServerMixedCluster))]
public sealed class SharedSqlServerMixedCluster : ICollectionFixture<SqlServerMixedCluster>;

/// <summary>Two silos with the grains and the storage of the service on a database of their own; the clock is the test's.</summary>
public abstract class ClusterFixture : IAsyncLifetime
{
    internal const int PendingLimit = 12;
    internal const int PendingBytes = 100_000;

    internal static readonly RetentionSettings Kept = new(TimeSpan.FromDays(30), TimeSpan.FromDays(365));

    // The name that the test cluster gives it.
    private const string FirstSilo = "Silo_0";

    /// <summary>Ends what hangs: far longer than anything takes, shorter than the patience of a person.</summary>
    internal static readonly TimeSpan Patience = ServiceProcess.Patience;

    private readonly StorageEngine engine;
    private readonly bool otherGroupCommit;
    private TestDatabase? testDatabase;
    private Database? database;
    private InProcessTestCluster? cluster;

    private protected ClusterFixture(StorageEngine engine, bool groupCommit, bool? otherGroupCommit = null)
    {
        this.engine = engine;
        this.otherGroupCommit = otherGroupCommit ?? groupCommit;
        GroupCommit = groupCommit;
    }

    internal bool GroupCommit { get; }

    internal FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2025, 5, 21, 10, 30, 0, TimeSpan.Zero));

    /// <summary>What happens to writes before and after the real storage sees them.</summary>
    internal StorageTrouble Storage { get; } = new();

    internal IGrainFactory OneSilo => FactoryOf(0);

    internal IGrainFactory OtherSilo => FactoryOf(1);

    internal TestDatabase TestDatabase => testDatabase ?? throw new InvalidOperationException("The fixture has not started.");

    /// <summary>The cluster; skips the test when its engine is not there.</summary>
    internal InProcessTestCluster Cluster
    {
        get
        {
            Skip.If(cluster is null, TestDatabase.WhyUnavailable(engine));
            return cluster!;
        }
    }

    /// <summary>The numbers as a silo that has just started would hand them out.</summary>
    internal OperationNumbers NewNumbers(int silo) => new(FactoryOf(silo));

    /// <summary>Removes what is too old, as one silo does from time to time.</summary>
    internal Task SweepAsync() => RetentionOn(0).SweepAsync(CancellationToken.None);

    internal RetentionSweeps RetentionOn(int silo) => ActivatorUtilities.CreateInstance<RetentionSweeps>(Cluster.Silos[silo].SiloHost.Services);

    /// <summary>The storage itself, past every grain and every trouble.</summary>
    internal IGrainStorage RealStorage =>
        ((TroubledStorage)Cluster.Silos[0].SiloHost.Services.GetRequiredKeyedService<IGrainStorage>("Default")).Real;

    public async Task InitializeAsync()
    {
        if (TestDatabase.WhyUnavailable(engine) is not null)
        {
            return;
        }

        testDatabase = await TestDatabase.CreateAsync(engine);
        database = testDatabase.Open();
        var builder = new InProcessTestClusterBuilder(2);
        builder.ConfigureSilo((options, silo) =>
        {
            silo.Services.AddMetrics();
            silo.Services.AddSingleton<TimeProvider>(Clock);
            silo.Services.UseTimeProviderForBackgroundAreas(TimeProvider.System);
            silo.Services.AddSingleton(database);
            silo.Services.AddSingleton(SiloSettings.Read(Reader(("Recognize:Silo:Name", options.SiloName))));
            silo.Services.AddOperations(Reader(
                ("Recognize:Operations:PendingLimit", $"{PendingLimit}"),
                ("Recognize:Operations:PendingBytes", $"{PendingBytes}"),
                ("Recognize:Operations:Retention", $"{Kept.Operations:c}"),
                ("Recognize:Operations:TombstoneRetention", $"{Kept.Tombstones:c}")));
            silo.AddRecognizeStorage(options.SiloName == FirstSilo ? GroupCommit : otherGroupCommit);

            // What runs in the background by itself, tests run when they want it.
            silo.Services.Remove(silo.Services.Single(service => service.ImplementationType == typeof(RetentionSweeps)));
            silo.Services.Remove(silo.Services.Single(service => service.ImplementationType == typeof(PendingCount)));
            Storage.Surround(silo.Services);
        });
        cluster = builder.Build();
        await cluster.DeployAsync();
    }

    public async Task DisposeAsync()
    {
        if (cluster is not null)
        {
            await cluster.DisposeAsync();
        }

        if (database is not null)
        {
            await database.DisposeAsync();
        }

        if (testDatabase is not null)
        {
            await testDatabase.DisposeAsync();
        }
    }

    /// <summary>The number of the silo on which a grain lives.</summary>
    internal int HomeOf(IAddressable grain) => Cluster.TryGetGrainContext(grain.GetGrainId(), out var context)
        ? Cluster.Silos.Select(silo => silo.SiloAddress).ToList().IndexOf(context.Address.SiloAddress!)
        : throw new InvalidOperationException("It lives nowhere.");

    /// <summary>Other tests leave the clock between two milliseconds, and what is stored are whole ones.</summary>
    internal void AdvanceToNextMillisecond() => Clock.Advance(TimeSpan.FromTicks(TimeSpan.TicksPerMillisecond - (Clock.GetUtcNow().Ticks % TimeSpan.TicksPerMillisecond)));

    /// <summary>Makes grains forget what they hold in memory, as a restart does.</summary>
    internal Task DeactivateAsync(params IAddressable[] grains) => Task.WhenAll(grains.Select(Cluster.DeactivateAsync));

    /// <summary>Completes when no silo holds the grain in its memory.</summary>
    internal async Task GoneAsync(IAddressable grain)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (await IsActiveAsync(grain))
        {
            patience.Token.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Whether a silo holds the grain in its memory. The directory remembers more than that.</summary>
    internal async Task<bool> IsActiveAsync(IAddressable grain) =>
        (await OneSilo.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics()).Any(one => one.GrainId == grain.GetGrainId());

    /// <summary>Does what a second activation of the grain, on a silo that was cut off, would do.</summary>
    internal async Task RewriteAsync<T>(IAddressable grain, string stateName, Func<T, T> change)
        where T : new()
    {
        var row = new GrainState<T>(new());
        await RealStorage.ReadStateAsync(stateName, grain.GetGrainId(), row);
        row.State = change(row.State!);
        await RealStorage.WriteStateAsync(stateName, grain.GetGrainId(), row);
    }

    private IGrainFactory FactoryOf(int silo) => Cluster.Silos[silo].SiloHost.Services.GetRequiredService<IGrainFactory>();

    private static SettingsReader Reader(params (string Key, string Value)[] settings) =>
        new(new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value))).Build(), AppContext.BaseDirectory);
}
