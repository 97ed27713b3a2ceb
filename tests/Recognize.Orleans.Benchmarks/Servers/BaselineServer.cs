namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>
/// What one would write instead: a minimal API, one table with a unique key, one INSERT for a create, one SELECT for a read or
/// a list and one UPDATE for a decision. It looks at no key and validates nothing, so every comparison is in its favour.
/// </summary>
internal static class BaselineServer
{
    public static async Task RunAsync(string engine)
    {
        var builder = CreateBuilder();
        var connectionString = builder.Configuration.GetConnectionString("Baseline")!;
        await using IBaselineStore store = engine switch
        {
            Engine.Sqlite => new SqliteBaselineStore(connectionString),
            Engine.PostgreSql => await PostgreSqlBaselineStore.OpenAsync(connectionString),
            Engine.SqlServer => await SqlServerBaselineStore.OpenAsync(connectionString),
            _ => throw Engine.Unknown(engine),
        };
        await ServeAsync(builder, store);
    }

    public static async Task ServeAsync(WebApplicationBuilder builder, IBaselineStore store)
    {
        var app = builder.Build();
        app.MapGet("/health/ready", () => "ready");
        app.MapPost("/v2/users/{userId}/operations", async (string userId, CreateView body) =>
            await store.TryInsertAsync(userId, body, DateTime.UtcNow) ? Success() : TypedResults.Conflict());
        app.MapGet("/v2/operations/{operationId}", async (string operationId) =>
            await store.FindAsync(operationId) is { } operation
                ? BaselineJson.Answer(operation, BaselineJson.Web.OperationView)
                : TypedResults.NotFound());
        app.MapPost("/v2/operations/{operationId}/decision", async (string operationId, DecisionView body) =>
            await store.TryDecideAsync(operationId, body.Decision is "approve") ? Success() : TypedResults.Conflict());
        app.MapGet("/v2/users/{userId}/operations/pending", async (string userId) =>
            BaselineJson.Answer(await store.ListPendingAsync(userId), BaselineJson.Web.ListPendingView));
        await app.RunAsync();
    }

    /// <summary>The same logging, garbage collector and server as the service: a production host with its defaults.</summary>
    public static WebApplicationBuilder CreateBuilder()
    {
        var builder = WebApplication.CreateBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft", LogLevel.Warning);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.AddServerHeader = false);
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.TypeInfoResolverChain.Insert(0, BaselineJson.Web));
        return builder;
    }

    private static IResult Success() => BaselineJson.Answer(new SuccessView(), BaselineJson.Web.SuccessView);
}

/// <summary>The four statements of the baseline.</summary>
internal interface IBaselineStore : IAsyncDisposable
{
    /// <returns>False when the operation exists.</returns>
    ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt);

    ValueTask<OperationView?> FindAsync(string operationId);

    /// <returns>False when there is no such operation, or it is decided.</returns>
    ValueTask<bool> TryDecideAsync(string operationId, bool approves);

    ValueTask<List<PendingView>> ListPendingAsync(string userId);
}
