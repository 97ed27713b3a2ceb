using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Recognize.Orleans.Benchmarks.Servers;

internal sealed record CreateView(string OperationId, string? ExternalUserId, string? OperationPayload);

internal sealed record DecisionView(string UserId, string Decision, string AuthType);

internal sealed record PendingView(string OperationId, string? OperationPayload, string? ExternalUserId)
{
    /// <summary>Of the columns operation_id, payload, external_user_id.</summary>
    public static PendingView Read(DbDataReader row) =>
        new(row.GetString(0), row.IsDBNull(1) ? null : row.GetString(1), row.IsDBNull(2) ? null : row.GetString(2));
}

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

    /// <summary>Of the columns id, user_id, external_user_id, payload, status.</summary>
    public static OperationView Read(DbDataReader row, string operationId, string timestamp)
    {
        var status = row.GetInt16(4);
        return new()
        {
            Id = row.GetInt64(0),
            Timestamp = timestamp,
            UserId = row.GetString(1),
            OperationId = operationId,
            State = status == 1 ? "approved" : "pending",
            Result = status == 1,
            ExternalUserId = row.IsDBNull(2) ? null : row.GetString(2),
            OperationPayload = row.IsDBNull(3) ? null : row.GetString(3),
            Status = status switch { 1 => "approved", 2 => "denied", _ => "pending" },
        };
    }

    public static string Time(DateTime time) => time.ToString("yyyy-MM-ddTHH:mm:ss.fff", CultureInfo.InvariantCulture);
}

[JsonSerializable(typeof(CreateView))]
[JsonSerializable(typeof(DecisionView))]
[JsonSerializable(typeof(SuccessView))]
[JsonSerializable(typeof(List<PendingView>))]
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
