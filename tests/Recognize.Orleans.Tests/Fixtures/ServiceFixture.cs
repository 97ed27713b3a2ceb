using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting;
using Xunit;

namespace Recognize.Orleans.Fixtures;

[CollectionDefinition("SQLite")]
public sealed class SqliteService() : ServiceFixture(StorageEngine.Sqlite), ICollectionFixture<SqliteService>;

[CollectionDefinition("PostgreSQL")]
public sealed class PostgreSqlService() : ServiceFixture(StorageEngine.PostgreSql), ICollectionFixture<PostgreSqlService>;

[CollectionDefinition("SQL Server")]
public sealed class SqlServerService() : ServiceFixture(StorageEngine.SqlServer), ICollectionFixture<SqlServerService>;

/// <summary>One service for all tests of the API on one engine. Tests keep apart by users and ids of their own.</summary>
public abstract class ServiceFixture : IAsyncLifetime
{
    private readonly StorageEngine engine;
    private TestService? service;

    private protected ServiceFixture(StorageEngine engine) => this.engine = engine;

    /// <summary>Skips the test that asks for it when the engine is not there.</summary>
    internal TestService Service
    {
        get
        {
            Skip.If(service is null, TestDatabase.WhyUnavailable(engine));
            return service!;
        }
    }

    public async Task InitializeAsync()
    {
        if (TestDatabase.WhyUnavailable(engine) is null)
        {
            service = await TestService.StartAsync(engine, new() { ["Recognize:Operations:PendingLimit"] = $"{TestService.PendingLimit}" });
        }
    }

    public async Task DisposeAsync()
    {
        if (service is not null)
        {
            await service.DisposeAsync();
        }
    }
}

/// <summary>The whole service in this process, with real ports on loopback and a database of its own.</summary>
internal sealed class TestService : IAsyncDisposable
{
    /// <summary>The pending operations that a user may have on the services that tests share.</summary>
    public const int PendingLimit = 5;

    public const string NodeName = "operations-service-node-1";

    private readonly WebApplication app;
    private readonly TestDatabase? ownDatabase;
    private Task? stopped;

    private TestService(WebApplication app, TestDatabase? ownDatabase, LogLines logs)
    {
        this.app = app;
        this.ownDatabase = ownDatabase;
        Logs = logs;
        var settings = app.Services.GetRequiredService<Settings>();
        var management = settings.Management.Urls.Select(url => url.Port).ToHashSet();
        Api = new Uri(app.Urls.First(url => !management.Contains(new Uri(url.Replace("*", "localhost", StringComparison.Ordinal)).Port)));
        Management = new Uri($"http://127.0.0.1:{settings.Management.Urls[0].Port}");
    }

    public Uri Api { get; }

    public Uri Management { get; }

    public LogLines Logs { get; }

    /// <summary>The database that goes away with the service.</summary>
    public TestDatabase Database => ownDatabase!;

    public IServiceProvider Services => app.Services;

    /// <summary>The relying party and the approver of customer acme in one.</summary>
    public ApiClient Acme => new(Api, TestCustomers.AcmeBoth);

    /// <summary>Starts a service on a database that goes away with it.</summary>
    public static async Task<TestService> StartAsync(StorageEngine engine, Dictionary<string, string?>? settings = null, Action<WebApplicationBuilder>? configure = null)
    {
        var database = await TestDatabase.CreateAsync(engine);
        try
        {
            return await StartAsync(database, settings, configure, ownDatabase: database);
        }
        catch
        {
            await database.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a service on a database that stays.</summary>
    public static Task<TestService> StartAsync(TestDatabase database, Dictionary<string, string?>? settings = null, Action<WebApplicationBuilder>? configure = null) =>
        StartAsync(database, settings, configure, ownDatabase: null);

    /// <summary>The command line of a service on a database; a setting that is null is left out.</summary>
    public static string[] Arguments(TestDatabase database, Dictionary<string, string?>? settings = null)
    {
        var all = new Dictionary<string, string?>(TestCustomers.Settings)
        {
            ["environment"] = "Production",
            ["contentRoot"] = AppContext.BaseDirectory,
            ["urls"] = "http://127.0.0.1:0",
            ["ConnectionStrings:Recognize"] = database.ConnectionString,
            ["Recognize:Storage:Engine"] = $"{database.Engine}",
            ["Recognize:Silo:Port"] = $"{FreePorts.Next()}",
            ["Recognize:Silo:Name"] = NodeName,
            ["Recognize:Silo:DrainDelay"] = "00:00:00",
            ["Recognize:Management:Port"] = $"{FreePorts.Next()}",
        };
        foreach (var (key, value) in settings ?? [])
        {
            all[key] = value;
        }

        return [.. all.Where(setting => setting.Value is not null).Select(setting => $"--{setting.Key}={setting.Value}")];
    }

    public Task StopAsync() => stopped ??= app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await app.DisposeAsync();
        if (ownDatabase is not null)
        {
            await ownDatabase.DisposeAsync();
        }
    }

    private static async Task<TestService> StartAsync(TestDatabase database, Dictionary<string, string?>? settings, Action<WebApplicationBuilder>? configure, TestDatabase? ownDatabase)
    {
        var logs = new LogLines();
        var app = await ServiceHost.BuildAsync(Arguments(database, settings), builder =>
        {
            builder.Logging.ClearProviders().AddProvider(logs);
            configure?.Invoke(builder);
        });
        try
        {
            await app.StartAsync();
            return new TestService(app, ownDatabase, logs);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
    }
}
