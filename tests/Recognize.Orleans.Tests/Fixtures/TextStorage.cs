using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Serialization;
using Orleans.Storage;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>One of the two grain storages on a test database, without a silo around it. States are JSON texts, stored as they are. No call hangs.</summary>
internal sealed class TextStorage : IAsyncDisposable
{
    private const string Name = "test";

    private readonly SiloLifecycleSubject lifecycle = new(NullLogger<SiloLifecycleSubject>.Instance);
    private readonly Database database;
    private readonly ServiceProvider services;
    private readonly IGrainStorage storage;
    private Task? stopped;

    private TextStorage(Database database, Func<IServiceProvider, IGrainStorage> create, Action<IServiceCollection> configure)
    {
        this.database = database;
        var collection = new ServiceCollection().AddLogging().AddSerializer().AddSingleton<IGrainStorage>(create);
        collection.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = ("test", "recognize"));
        configure(collection);
        services = collection.BuildServiceProvider();
        storage = services.GetRequiredService<IGrainStorage>();
        ((ILifecycleParticipant<ISiloLifecycle>)storage).Participate(lifecycle);
    }

    /// <summary>Orleans' own ADO.NET storage provider.</summary>
    public static async Task<TextStorage> StockAsync(TestDatabase testDatabase, bool deleteStateOnClear = false)
    {
        var database = testDatabase.Open();
        var storage = new TextStorage(
            database,
            provider => AdoNetGrainStorageFactory.Create(provider, Name),
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

    public static async Task<TextStorage> GroupCommitAsync(TestDatabase testDatabase, GroupCommitLimits? limits = null)
    {
        var storage = GroupCommitToStart(testDatabase, limits);
        await storage.StartAsync();
        return storage;
    }

    /// <summary>Takes work and begins with it when it is started, so that what comes before is in one group, in its order.</summary>
    public static TextStorage GroupCommitToStart(TestDatabase testDatabase, GroupCommitLimits? limits = null)
    {
        var database = testDatabase.Open();
        return new(
            database,
            provider => new GroupCommitStorage(database, provider.GetRequiredService<IOptions<ClusterOptions>>().Value, new TextSerializer(), limits ?? new(), TimeProvider.System),
            _ => { });
    }

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
    public Task WriteAsync(string key, GrainState<Text> state, string json, CancellationToken cancellationToken = default)
    {
        state.State = new Text { Json = json };
        return storage.WriteStateAsync("operation", GrainOf(key), state, cancellationToken).WaitAsync(ClusterFixture.Patience, CancellationToken.None);
    }

    /// <summary>Writes a row that must not be there yet.</summary>
    public Task InsertAsync(string key, string json = "{}", CancellationToken cancellationToken = default) =>
        WriteAsync(key, new(), json, cancellationToken);

    /// <summary>Inserts a row, and with it writes another with the version that its state was read with.</summary>
    public Task<bool> InsertWithAsync(string firstKey, string key, GrainState<Text> state, string json = "{}")
    {
        state.State = new Text { Json = json };
        return ((IPairedGrainStorage)storage).InsertWithAsync(new("operation", GrainOf(firstKey), "{}"u8.ToArray()), "operation", GrainOf(key), state)
            .WaitAsync(ClusterFixture.Patience);
    }

    public Task ClearAsync(string key, GrainState<Text> state) => storage.ClearStateAsync("operation", GrainOf(key), state).WaitAsync(ClusterFixture.Patience);

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await services.DisposeAsync();
        await database.DisposeAsync();
    }

    private static GrainId GrainOf(string key) => GrainId.Create("operation", key);

    internal sealed class Text
    {
        public string Json { get; set; } = "";
    }

    private sealed class TextSerializer : IGrainStorageSerializer
    {
        public BinaryData Serialize<T>(T? input) => BinaryData.FromString(((Text)(object)input!).Json);

        public T Deserialize<T>(BinaryData input) => (T)(object)new Text { Json = input.ToString() };
    }
}
