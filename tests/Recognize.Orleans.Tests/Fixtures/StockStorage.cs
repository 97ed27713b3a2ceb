using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Configuration;
using Orleans.Serialization;
using Orleans.Storage;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>Orleans' own ADO.NET storage provider on a test database, without a silo around it. States are JSON texts, stored as they are.</summary>
internal sealed class StockStorage : IAsyncDisposable
{
    private const string Name = "test";

    private readonly Database database;
    private readonly ServiceProvider services;
    private readonly AdoNetGrainStorage storage;

    private StockStorage(Database database, ServiceProvider services)
    {
        this.database = database;
        this.services = services;
        storage = AdoNetGrainStorageFactory.Create(services, Name);
    }

    public static async Task<StockStorage> StartAsync(TestDatabase testDatabase, bool deleteStateOnClear = false)
    {
        var database = testDatabase.Open();
        var services = new ServiceCollection().AddLogging().AddSerializer();
        services.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = ("test", "recognize"));
        services.Configure<AdoNetGrainStorageOptions>(Name, options =>
        {
            options.Invariant = database.Invariant;
            options.DataSource = database.DataSource;
            options.DeleteStateOnClear = deleteStateOnClear;
            options.GrainStorageSerializer = new TextSerializer();
        });
        var started = new StockStorage(database, services.BuildServiceProvider());
        var lifecycle = new SiloLifecycleSubject(NullLogger<SiloLifecycleSubject>.Instance);
        started.storage.Participate(lifecycle);
        await lifecycle.OnStart();
        return started;
    }

    /// <summary>What an activation that has just been made would know of the grain.</summary>
    public async Task<GrainState<Text>> ReadAsync(string key)
    {
        var state = new GrainState<Text>(new Text());
        await storage.ReadStateAsync("operation", GrainOf(key), state);
        return state;
    }

    /// <summary>Writes with the version that the state was read with.</summary>
    public Task WriteAsync(string key, GrainState<Text> state, string json)
    {
        state.State = new Text { Json = json };
        return storage.WriteStateAsync("operation", GrainOf(key), state);
    }

    public Task ClearAsync(string key, GrainState<Text> state) => storage.ClearStateAsync("operation", GrainOf(key), state);

    public async ValueTask DisposeAsync()
    {
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
