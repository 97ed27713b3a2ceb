using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>
/// What one would write instead: a minimal API, one table with a unique key, one INSERT for a create and one SELECT for a
/// read. It looks at no key and validates nothing, so every comparison is in its favour.
/// </summary>
internal static class BaselineServer
{
    public static async Task RunAsync(string engine)
    {
        var builder = CreateBuilder();
        var connectionString = builder.Configuration.GetConnectionString("Baseline")!;
        await using IBaselineStore store = engine is Engine.Sqlite ? new SqliteBaselineStore(connectionString) : await PostgreSqlBaselineStore.OpenAsync(connectionString);
        var app = builder.Build();
        app.MapGet("/health/ready", () => "ready");
        app.MapPost("/v2/users/{userId}/operations", async (string userId, CreateView body) =>
            await store.TryInsertAsync(userId, body, DateTime.UtcNow)
                ? BaselineJson.Answer(new SuccessView(), BaselineJson.Web.SuccessView)
                : TypedResults.Conflict());
        app.MapGet("/v2/operations/{operationId}", async (string operationId) =>
            await store.FindAsync(operationId) is { } operation
                ? BaselineJson.Answer(operation, BaselineJson.Web.OperationView)
                : TypedResults.NotFound());
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
}

/// <summary>The two statements of the baseline.</summary>
internal interface IBaselineStore : IAsyncDisposable
{
    /// <returns>False when the operation exists.</returns>
    ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt);

    ValueTask<OperationView?> FindAsync(string operationId);
}

internal sealed record CreateView(string OperationId, string? ExternalUserId, string? OperationPayload);

internal sealed record SuccessView
{
    public bool Success { get; init; } = true;
}

internal sealed record OperationView
{
    public required long Id { get; init; }

    public required string Timestamp { get; init; }

    public string NodeId { get; init; } = "baseline";

    public required string UserId { get; init; }

    public string ApiKey { get; init; } = "bench-sdk-key";

    public required string OperationId { get; init; }

    public required string State { get; init; }

    public bool Result { get; init; }

    public string? ExternalUserId { get; init; }

    public string? OperationPayload { get; init; }

    public required string Status { get; init; }

    public static string Time(DateTime time) => time.ToString("yyyy-MM-ddTHH:mm:ss.fff", CultureInfo.InvariantCulture);
}

[JsonSerializable(typeof(CreateView))]
[JsonSerializable(typeof(SuccessView))]
[JsonSerializable(typeof(OperationView))]
internal sealed partial class BaselineJson : JsonSerializerContext
{
    public static BaselineJson Web { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static IResult Answer<T>(T value, JsonTypeInfo<T> type) => new Whole(JsonSerializer.SerializeToUtf8Bytes(value, type));

    // With a length instead of chunks, written at once: the cheapest way that the server has.
    private sealed class Whole(byte[] body) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.ContentType = "application/json";
            httpContext.Response.ContentLength = body.Length;
            return httpContext.Response.Body.WriteAsync(body).AsTask();
        }
    }
}
