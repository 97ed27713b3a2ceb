using System.Data.Common;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Configuration;
using Orleans.Serialization;
using Orleans.Storage;
using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>
/// One of the two grain storages on a test database, without a silo around it. States are JSON texts, stored as they are, or those of operations.
/// No call hangs.
/// </summary>
internal sealed class TextStorage : IAsyncDisposable
{
    private const string Name = "test";
    private const string ServiceId = "recognize";

    private readonly SiloLifecycleSubject lifecycle = new(NullLogger<SiloLifecycleSubject>.Instance);
    private readonly Database database;
    private readonly ServiceProvider services;
    private readonly IGrainStorage storage;
    private Task? stopped;

    private TextStorage(Database database, Func<IServiceProvider, IGrainStorage> create, Action<IServiceCollection> configure)
    {
        this.database = database;
        var collection = new ServiceCollection().AddLogging().AddSerializer().AddSingleton(create);
        collection.AddSingleton(database).AddSingleton(TimeProvider.System).AddSingleton<StorageFaults>();
        collection.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = ("test", ServiceId));
        configure(collection);
        services = collection.BuildServiceProvider();
        storage = services.GetRequiredService<IGrainStorage>();
        ((ILifecycleParticipant<ISiloLifecycle>)storage).Participate(lifecycle);
        services.GetService<RowReader>()?.Participate(lifecycle);
    }

    /// <summary>Orleans' own ADO.NET storage provider.</summary>
    public static async Task<TextStorage> StockAsync(TestDatabase testDatabase, bool deleteStateOnClear = false)
    {
        var database = testDatabase.Open();
        var storage = new TextStorage(
            database,
            provider => new StockStorage(AdoNetGrainStorageFactory.Create(provider, Name), database, provider.GetRequiredService<StorageFaults>()),
            services => services.Configure<AdoNetGrainStorageOptions>(Name, options =>
            {
                options.Invariant = database.Invariant;
                options.DataSource = database.DataSource;
                options.DeleteStateOnClear = deleteStateOnClear;
                options.GrainStorageSerializer = new TextSerializer();
            }));
        await storage.StartAsync();
        return storage;
    }

    public static async Task<TextStorage> GroupCommitAsync(TestDatabase testDatabase, GroupCommitLimits? limits = null, WriteGuard? guard = null, SiloIdentity? silo = null, TimeProvider? clock = null)
    {
        var storage = GroupCommitToStart(testDatabase, limits, guard, silo, clock);
        await storage.StartAsync();
        return storage;
    }

    /// <summary>Takes work and begins with it when it is started, so that what comes before is in one group, in its order.</summary>
    public static TextStorage GroupCommitToStart(TestDatabase testDatabase, GroupCommitLimits? limits = null, WriteGuard? guard = null, SiloIdentity? silo = null, TimeProvider? clock = null)
    {
        var database = testDatabase.Open();
        return new(
            database,
            provider => ActivatorUtilities.CreateInstance<GroupCommitStorage>(provider, new TextSerializer()),
            services => services
                .AddSingleton(limits ?? new())
                .AddSingleton(guard ?? WriteGuard.None)
                .AddSingleton(database.CreateRowStore(ServiceId, silo, clock ?? TimeProvider.System))
                .AddSingleton<RowReader>());
    }

    /// <summary>The connections that this storage uses.</summary>
    public DbDataSource DataSource => database.DataSource;

    public Task StartAsync() => lifecycle.OnStart();

    public Task StopAsync(CancellationToken cancellationToken = default) =>
        stopped ??= lifecycle.OnStop(cancellationToken).WaitAsync(ClusterFixture.Patience, CancellationToken.None);

    /// <summary>What an activation that has just been made would know of the grain.</summary>
    public async Task<GrainState<Text>> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var state = new GrainState<Text>(new Text());
        await storage.ReadStateAsync("operation", GrainOf(key), state, cancellationToken).WaitAsync(ClusterFixture.Patience, CancellationToken.None);
        return state;
    }

    /// <summary>Writes with the version that the state was read with.</summary>
    public Task WriteAsync(string key, GrainState<Text> state, string json, CancellationToken cancellationToken = default) =>
        WriteAsync(key, state, json, keys: default, cancellationToken);

    /// <inheritdoc cref="WriteAsync(string, GrainState{Text}, string, CancellationToken)"/>
    public Task WriteAsync(string key, GrainState<Text> state, string json, RowKeys keys, CancellationToken cancellationToken = default)
    {
        state.State = new Text { Json = json, Keys = keys };
        return storage.WriteStateAsync("operation", GrainOf(key), state, cancellationToken).WaitAsync(ClusterFixture.Patience, CancellationToken.None);
    }

    /// <summary>Writes a row that must not be there yet.</summary>
    public Task InsertAsync(string key, string json = "{}", CancellationToken cancellationToken = default) =>
        WriteAsync(key, new(), json, cancellationToken);

    public Task ClearAsync(string key, GrainState<Text> state) => storage.ClearStateAsync("operation", GrainOf(key), state).WaitAsync(ClusterFixture.Patience);

    /// <summary>Writes an operation with the version that the state was read with.</summary>
    public Task WriteAsync(string key, GrainState<OperationState> state, OperationState next)
    {
        state.State = next;
        return storage.WriteStateAsync(OperationState.Name, GrainOf(key), state).WaitAsync(ClusterFixture.Patience);
    }

    public Task ClearAsync(string key, GrainState<OperationState> state) =>
        storage.ClearStateAsync(OperationState.Name, GrainOf(key), state).WaitAsync(ClusterFixture.Patience);

    /// <summary>Reads rows by one of their keys; only a storage that commits in groups has such a reader.</summary>
    public Task<List<RangeRow>> ReadAsync(RowRange range) =>
        services.GetRequiredService<RowReader>().ReadAsync(range, CancellationToken.None).WaitAsync(ClusterFixture.Patience);

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await services.DisposeAsync();
        await database.DisposeAsync();
    }

    private static GrainId GrainOf(string key) => GrainId.Create("operation", key);

    /// <summary>A state with keys of the test's choice.</summary>
    internal sealed class Text : IIndexedState
    {
        public string Json { get; set; } = "";

        public RowKeys Keys { get; set; }
    }

    private sealed class TextSerializer : IGrainStorageSerializer
    {
        private readonly StateSerializer operations = new(StateJson.Default);

        public BinaryData Serialize<T>(T? input) => input is Text text ? BinaryData.FromString(text.Json) : operations.Serialize(input);

        public T? Deserialize<T>(BinaryData input) => typeof(T) == typeof(Text) ? (T)(object)new Text { Json = input.ToString() } : operations.Deserialize<T>(input);
    }
}
