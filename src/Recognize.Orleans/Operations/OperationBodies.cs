using System.Text.Json.Serialization;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Operations;

/// <summary>The two names of <see cref="AuthType"/> in JSON.</summary>
internal static class AuthTypeText
{
    public static AuthType? Parse(string? text) => text switch
    {
        "biom" => AuthType.Biom,
        "pin" => AuthType.Pin,
        _ => null,
    };

    public static string? Of(AuthType? type) => type switch
    {
        null => null,
        AuthType.Biom => "biom",
        AuthType.Pin => "pin",
        _ => throw new InvalidOperationException($"Authentication type {type} has no name."),
    };

    public static string? ErrorIn(string? text, bool required) =>
        Parse(text) is not null || (text is null && !required) ? null : "authType must be 'biom' or 'pin'.";
}

// openapi/v2.json says what the members of the bodies mean.
internal sealed record CreateOperationBody
{
    public string? OperationId { get; init; }
    public string? ExternalUserId { get; init; }
    public string? OperationPayload { get; init; }
    public string? AuthType { get; init; }
    public int? ExpiresIn { get; init; }
}

internal sealed record CancelBody
{
    public string? Reason { get; init; }
}

internal sealed record DecisionBody
{
    public string? UserId { get; init; }
    public string? Decision { get; init; }
    public string? AuthType { get; init; }
    public string? OperationPayload { get; init; }
    public string? Reason { get; init; }
}

internal sealed record SuccessBody
{
    public bool Success { get; init; } = true;
}

internal sealed record OperationBody
{
    public required long Id { get; init; }
    public required string Timestamp { get; init; }
    public required string NodeId { get; init; }
    public required string UserId { get; init; }
    public required string ApiKey { get; init; }
    public required string OperationId { get; init; }
    public required string State { get; init; }
    public required bool Result { get; init; }
    public string? ExternalUserId { get; init; }
    public string? OperationPayload { get; init; }
    public string? AuthType { get; init; }
    public required string Status { get; init; }
    public string? DecidedAt { get; init; }
    public string? ExpiresAt { get; init; }
    public string? Reason { get; init; }

    public static OperationBody From(Operation operation, Customer customer) => new()
    {
        Id = operation.Id,
        Timestamp = Time(operation.CreatedAt),
        NodeId = operation.NodeId,
        UserId = operation.UserId,
        ApiKey = customer.SdkApiKey,
        OperationId = operation.OperationId,
        State = operation.Status is OperationStatus.Approved ? "approved" : "pending",
        Result = operation.Status is OperationStatus.Approved,
        ExternalUserId = operation.ExternalUserId,
        OperationPayload = operation.Payload,
        AuthType = AuthTypeText.Of(operation.AuthType),
        Status = NameOf(operation.Status),
        DecidedAt = operation.DecidedAt is { } decidedAt ? Time(decidedAt) : null,
        ExpiresAt = operation.ExpiresAt is { } expiresAt ? Time(expiresAt) : null,
        Reason = operation.Reason,
    };

    /// <summary>The status with this name, or null when no status has it.</summary>
    public static OperationStatus? StatusOf(string? name) => Array.Find(Enum.GetValues<OperationStatus>(), status => NameOf(status) == name) is var found && found is not 0 ? found : null;

    internal static string NameOf(OperationStatus status) => status switch
    {
        OperationStatus.Pending => "pending",
        OperationStatus.Approved => "approved",
        OperationStatus.Denied => "denied",
        OperationStatus.Expired => "expired",
        OperationStatus.Cancelled => "cancelled",
        _ => throw new InvalidOperationException($"Status {status} has no name."),
    };

    public static string Time(DateTimeOffset time) => UtcMilliseconds.Text(time)[..^1];
}

[JsonSerializable(typeof(CreateOperationBody))]
[JsonSerializable(typeof(DecisionBody))]
[JsonSerializable(typeof(CancelBody))]
[JsonSerializable(typeof(SuccessBody))]
[JsonSerializable(typeof(OperationBody))]
internal sealed partial class OperationJson : JsonSerializerContext
{
    public static OperationJson Web { get; } = new(ApiJson.NewOptions());
}
