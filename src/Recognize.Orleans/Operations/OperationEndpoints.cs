using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Primitives;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Operations;

/// <summary>The routes of operations.</summary>
internal static class OperationEndpoints
{
    public static void MapOperations(this IEndpointRouteBuilder v2)
    {
        v2.MapPost("/users/{userId}/operations", CreateAsync)
            .Demands("createOperation", Scopes.Operations)
            .Accepts<CreateOperationBody>("application/json")
            .Takes(ApiParameters.IdempotencyKey)
            .Produces<SuccessBody>()
            .Refuses(Problem.InvalidRequest, Problem.UnsupportedMediaType, Problem.BodyTooLarge)
            .Refuses(Problem.OperationExists, Problem.IdempotencyKeyReused, Problem.PendingLimitReached, Problem.PendingBytesReached)
            .WithSummary("Create a pending operation")
            .WithDescription("When it answers 200, the operation is durable and on the user's pending list. A user has at most 1,000 pending operations, with at most 8 MiB of payload together, unless the service is set up otherwise.");

        v2.MapGet("/operations/{operationId}", ReadAsync)
            .Demands("getOperation", Scopes.Operations)
            .Produces<OperationBody>()
            .Takes(ApiParameters.Prefer)
            .Refuses(Problem.InvalidRequest, Problem.OperationNotFound, Problem.TooManyWaits)
            .WithSummary("Read an operation")
            .WithDescription("With Prefer: wait, a pending operation is answered as soon as it is decided, cancelled or expired, or when the time is over.");

        v2.MapPost("/operations/{operationId}/decision", DecideAsync)
            .Demands("decideOperation", Scopes.Decisions)
            .Accepts<DecisionBody>("application/json")
            .Produces<SuccessBody>()
            .Refuses(Problem.InvalidRequest, Problem.WrongUser, Problem.AuthTypeNotAllowed, Problem.PayloadMismatch)
            .Refuses(Problem.OperationNotFound, Problem.AlreadyDecided, Problem.OperationExpired, Problem.OperationCancelled)
            .Refuses(Problem.UnsupportedMediaType, Problem.BodyTooLarge)
            .WithSummary("Record the user's decision")
            .WithDescription("The first decision counts and never changes. Sending the same decision again is answered 200. At or after the deadline no decision is taken.");

        v2.MapPost("/operations/{operationId}/cancel", CancelAsync)
            .Demands("cancelOperation", Scopes.Operations, bodyIsOptional: true)
            .Accepts<CancelBody>(isOptional: true, "application/json")
            .Produces<SuccessBody>()
            .Refuses(Problem.InvalidRequest, Problem.OperationNotFound, Problem.AlreadyDecided, Problem.OperationExpired)
            .Refuses(Problem.UnsupportedMediaType, Problem.BodyTooLarge)
            .WithSummary("Take a pending operation back")
            .WithDescription("Cancelling it again is answered 200; what the user has decided stays decided.");
    }

    private static async Task<IResult> CreateAsync(string userId, HttpContext context, IGrainFactory grains, TimeProvider clock)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.CreateOperationBody);
        RequestTarget.TryDecode(userId, out userId);
        var request = new CreateOperation
        {
            UserId = userId,
            ExternalUserId = body?.ExternalUserId,
            Payload = body?.OperationPayload,
            AuthType = AuthTypeText.Parse(body?.AuthType),
            Attempt = Guid.NewGuid().ToString("N"),
            IdempotencyKey = SentOnce(context.Request.Headers["Idempotency-Key"]),
            ExpiresIn = body?.ExpiresIn is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
        };

        error ??= OperationLimits.ErrorInUserId(userId)
            ?? OperationLimits.ErrorInOperationId(body!.OperationId)
            ?? OperationLimits.ErrorIn(request)
            ?? AuthTypeText.ErrorIn(body.AuthType, required: false);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var customer = context.Customer().Name;
        var user = grains.GetUser<IOperationOwnerGrain>(customer, userId);
        return Answer(await GrainRetry.CallAsync(
            clock,
            () => user.CreateAsync(body!.OperationId!, request)));
    }

    private static async Task<IResult> ReadAsync(string operationId, HttpContext context, IGrainFactory grains, FrontEndWaits waits, TimeProvider clock)
    {
        if (ErrorInPath(ref operationId) is { } error)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var customer = context.Customer();
        var grain = grains.GetOperation(customer.Name, operationId);
        var operation = await GrainRetry.CallAsync(clock, grain.GetAsync, context.RequestAborted);
        if (Conditions.PreferredWait(context) is { } patience && operation is { Status: OperationStatus.Pending })
        {
            using var wait = waits.Begin(context.Waiting(), grain.GetGrainId());
            if (wait is null)
            {
                return ApiContract.TooManyWaits(context);
            }

            operation = await wait.UntilAsync(clock.GetUtcNow() + patience, grain.GetAsync, now => now is not { Status: OperationStatus.Pending }, now => now?.ExpiresAt);
            if (!wait.IsKeyInForce)
            {
                return ApiContract.InvalidKey(context);
            }
        }

        return operation is not null
            ? ApiContract.Json(OperationBody.From(operation, customer), OperationJson.Web.OperationBody)
            : Answer(OperationOutcome.NotFound);
    }

    private static async Task<IResult> DecideAsync(string operationId, HttpContext context, IGrainFactory grains, TimeProvider clock)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.DecisionBody);
        error = ErrorInPath(ref operationId)
            ?? error
            ?? OperationLimits.ErrorInUserId(body!.UserId)
            ?? (body.Decision is "approve" or "deny" ? null : "decision must be 'approve' or 'deny'.")
            ?? AuthTypeText.ErrorIn(body.AuthType, required: true)
            ?? OperationLimits.FaultInPayload(body.OperationPayload)
            ?? OperationLimits.FaultInReason(body.Reason)
            ?? (body is { Decision: "approve", Reason: not null } ? "reason goes with the decision 'deny' only." : null);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var decision = new Decision
        {
            UserId = body!.UserId!,
            Verdict = body.Decision is "approve" ? Verdict.Approve : Verdict.Deny,
            AuthType = AuthTypeText.Parse(body.AuthType)!.Value,
            Payload = body.OperationPayload,
            Reason = body.Reason,
        };

        var operation = grains.GetOperation(context.Customer().Name, operationId);
        return Answer(await GrainRetry.CallAsync(clock, () => operation.DecideAsync(decision)));
    }

    private static async Task<IResult> CancelAsync(string operationId, HttpContext context, IGrainFactory grains, TimeProvider clock)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.CancelBody, otherwise: new());
        error = ErrorInPath(ref operationId) ?? error ?? OperationLimits.FaultInReason(body!.Reason);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var operation = grains.GetOperation(context.Customer().Name, operationId);
        return Answer(await GrainRetry.CallAsync(clock, () => operation.CancelAsync(body!.Reason)));
    }

    // Two headers must not pass as one key with a comma in it. The empty key is refused by validation.
    private static string? SentOnce(StringValues header) => header.Count <= 1 ? header : "";

    private static string? ErrorInPath(ref string operationId) =>
        RequestTarget.TryDecode(operationId, out operationId)
            ? OperationLimits.ErrorInOperationId(operationId)
            : "operationId in the path must be percent-encoded UTF-8.";

    private static IResult Answer(OperationOutcome outcome) => outcome switch
    {
        OperationOutcome.Done => ApiContract.Json(new SuccessBody(), OperationJson.Web.SuccessBody),
        OperationOutcome.Duplicate => Problem.OperationExists.Because("operationId must be new: an operation of this id exists or existed."),
        OperationOutcome.IdempotencyKeyReused => Problem.IdempotencyKeyReused.Because("Idempotency-Key was sent before for this operationId, with another user or other members."),
        OperationOutcome.PendingLimitReached => Problem.PendingLimitReached.Because("The user has as many pending operations as the service allows; decide one of them to make room."),
        OperationOutcome.PendingBytesReached => Problem.PendingBytesReached.Because("The payloads of the user's pending operations have as many bytes of UTF-8 as the service allows; decide one of them to make room."),
        OperationOutcome.NotFound => Problem.OperationNotFound.Because("operationId names no operation."),
        OperationOutcome.AlreadyDecided => Problem.AlreadyDecided.Because("decision and authType must be those of the first decision, which never changes."),
        OperationOutcome.WrongUser => Problem.WrongUser.Because("userId must be the user whom the operation asks."),
        OperationOutcome.AuthTypeNotAllowed => Problem.AuthTypeNotAllowed.Because("authType must be the one that the operation demands."),
        OperationOutcome.AlreadyApproved => Problem.AlreadyDecided.Because("It cannot be cancelled any more: the user has approved it."),
        OperationOutcome.AlreadyDenied => Problem.AlreadyDecided.Because("It cannot be cancelled any more: the user has denied it."),
        OperationOutcome.Expired => Problem.OperationExpired.Because("The operation's deadline, expiresAt, has passed: it can be neither decided nor cancelled."),
        OperationOutcome.Cancelled => Problem.OperationCancelled.Because("The operation was cancelled before it was decided."),
        OperationOutcome.PayloadMismatch => Problem.PayloadMismatch.Because("operationPayload must be the operation's, to the character, or absent."),
        _ => throw new InvalidOperationException($"Outcome {outcome} has no HTTP mapping."),
    };
}

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
    [AllowedValues("biom", "pin")]
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
    [Required, AllowedValues("approve", "deny")]
    public string? Decision { get; init; }

    /// <summary>How the user was authenticated.</summary>
    [Required, AllowedValues("biom", "pin")]
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
    [Required, AllowedValues("approved", "pending")]
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
    [AllowedValues("biom", "pin")]
    public string? AuthType { get; init; }

    /// <summary>
    /// The whole truth, while <c>state</c> knows two values only: <c>state</c> is "approved" and <c>result</c> true when this is "approved",
    /// "pending" and false otherwise. "expired": the deadline came before a decision.
    /// </summary>
    [Required, AllowedValues("pending", "approved", "denied", "expired", "cancelled")]
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

    private static string NameOf(OperationStatus status) => status switch
    {
        OperationStatus.Pending => "pending",
        OperationStatus.Approved => "approved",
        OperationStatus.Denied => "denied",
        OperationStatus.Expired => "expired",
        OperationStatus.Cancelled => "cancelled",
        _ => throw new InvalidOperationException($"Status {status} has no name."),
    };

    internal static string Time(DateTimeOffset time) => Storage.UtcMilliseconds.Text(time)[..^1];
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
