using System.ComponentModel.DataAnnotations;
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

/// <summary>The body of a create.</summary>
public sealed record CreateOperationBody
{
    /// <summary>The client's own id of the operation, any text but "." and "..": unique for the customer, compared to the character, without control characters.</summary>
    [Required, MinLength(1), MaxLength(OperationLimits.OperationId)]
    public string? OperationId { get; init; }

    /// <summary>The customer's own name for the user, without control characters.</summary>
    [MaxLength(OperationLimits.ExternalUserId)]
    public string? ExternalUserId { get; init; }

    /// <summary>What the user is asked to approve; any text.</summary>
    [MaxLength(OperationLimits.Payload)]
    public string? OperationPayload { get; init; }

    /// <summary>The type of authentication that the operation demands; absent: either will do.</summary>
    [OpenSet(OpenSet.AuthType)]
    public string? AuthType { get; init; }

    /// <summary>Seconds from the creation on within which it can be decided; absent: as long as the service is set up for, usually without end.</summary>
    [Range(OperationLimits.ShortestLifetime, OperationLimits.LongestLifetime)]
    public int? ExpiresIn { get; init; }
}

/// <summary>The body of a cancel.</summary>
public sealed record CancelBody
{
    /// <summary>Why the question is taken back, without control characters; whoever reads the operation sees it.</summary>
    [MaxLength(OperationLimits.Reason)]
    public string? Reason { get; init; }
}

/// <summary>The body of a decision.</summary>
public sealed record DecisionBody
{
    /// <summary>Who decided; must be the user of the operation.</summary>
    [Required, RegularExpression("^[0-9A-F]{1,128}$")]
    public string? UserId { get; init; }

    /// <summary>What the user said.</summary>
    [Required, OpenSet(OpenSet.Decision)]
    public string? Decision { get; init; }

    /// <summary>How the user was authenticated.</summary>
    [Required, OpenSet(OpenSet.AuthType)]
    public string? AuthType { get; init; }

    /// <summary>What the user saw; compared with the operation's payload unless it is absent.</summary>
    [MaxLength(OperationLimits.Payload)]
    public string? OperationPayload { get; init; }

    /// <summary>Why the user denied, without control characters; an approval has none.</summary>
    [MaxLength(OperationLimits.Reason)]
    public string? Reason { get; init; }
}

/// <summary>The answer to a call that took effect.</summary>
public sealed record SuccessBody
{
    /// <summary>Always true.</summary>
    [Required]
    public bool Success { get; init; } = true;
}

/// <summary>An operation as a relying party reads it.</summary>
public sealed record OperationBody
{
    /// <summary>The service's own number of the operation.</summary>
    [Required, Range(1, 9_007_199_254_740_991)]
    public required long Id { get; init; }

    /// <summary>When it was created: UTC without offset, in milliseconds.</summary>
    [Required, RegularExpression(TimePattern)]
    public required string Timestamp { get; init; }

    /// <summary>The node that created it.</summary>
    [Required]
    public required string NodeId { get; init; }

    /// <summary>The user whom it asks.</summary>
    [Required, RegularExpression("^[0-9A-F]{1,128}$")]
    public required string UserId { get; init; }

    /// <summary>The customer's SDK API key, a public identifier.</summary>
    [Required]
    public required string ApiKey { get; init; }

    /// <inheritdoc cref="CreateOperationBody.OperationId"/>
    [Required, MinLength(1), MaxLength(OperationLimits.OperationId)]
    public required string OperationId { get; init; }

    /// <summary>"approved" once the user approved it, "pending" in every other case; see <c>status</c>.</summary>
    [Required, OpenSet(OpenSet.OperationState)]
    public required string State { get; init; }

    /// <summary>Whether the user approved it.</summary>
    [Required]
    public required bool Result { get; init; }

    /// <inheritdoc cref="CreateOperationBody.ExternalUserId"/>
    [MaxLength(OperationLimits.ExternalUserId)]
    public string? ExternalUserId { get; init; }

    /// <inheritdoc cref="CreateOperationBody.OperationPayload"/>
    [MaxLength(OperationLimits.Payload)]
    public string? OperationPayload { get; init; }

    /// <summary>How the user was authenticated for the decision; before it, what the operation demands.</summary>
    [OpenSet(OpenSet.AuthType)]
    public string? AuthType { get; init; }

    /// <summary>
    /// The whole truth, while <c>state</c> knows two values only: <c>state</c> is "approved" and <c>result</c> true when this is "approved", "pending" and false otherwise. "expired": the deadline came before a decision.
    /// </summary>
    [Required, OpenSet(OpenSet.OperationStatus)]
    public required string Status { get; init; }

    /// <summary>When it was decided or cancelled, or the deadline of an expired one: UTC without offset, in milliseconds; absent while it is pending.</summary>
    [RegularExpression(TimePattern)]
    public string? DecidedAt { get; init; }

    /// <summary>The deadline, UTC without offset, in milliseconds: from then on it cannot be decided. Absent: it has none.</summary>
    [RegularExpression(TimePattern)]
    public string? ExpiresAt { get; init; }

    /// <summary>Why it was denied or cancelled, if that was said.</summary>
    [MaxLength(OperationLimits.Reason)]
    public string? Reason { get; init; }

    internal const string TimePattern = @"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}$";

    internal static OperationBody From(Operation operation, Customer customer) => new()
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
    internal static OperationStatus? StatusOf(string? name) => Array.Find(Enum.GetValues<OperationStatus>(), status => NameOf(status) == name) is var found && found is not 0 ? found : null;

    internal static string NameOf(OperationStatus status) => status switch
    {
        OperationStatus.Pending => "pending",
        OperationStatus.Approved => "approved",
        OperationStatus.Denied => "denied",
        OperationStatus.Expired => "expired",
        OperationStatus.Cancelled => "cancelled",
        _ => throw new InvalidOperationException($"Status {status} has no name."),
    };

    internal static string Time(DateTimeOffset time) => UtcMilliseconds.Text(time)[..^1];
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
