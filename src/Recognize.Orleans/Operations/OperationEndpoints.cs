using Microsoft.Extensions.Primitives;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Operations;

/// <summary>The routes of operations.</summary>
// What they need is given to them once. A parameter of a handler makes a scope of services for each request.
internal sealed class OperationEndpoints(IGrainFactory grains, FrontEndWaits waits, TimeProvider clock, Audit audit)
{
    private static readonly IResult Success = ApiContract.Json(new SuccessBody(), OperationJson.Web.SuccessBody);

    public void Map(IEndpointRouteBuilder v2)
    {
        v2.MapPost("/users/{userId}/operations", CreateAsync).Demands("createOperation", [OperationScopes.Operations]);
        v2.MapGet("/operations/{operationId}", ReadAsync).Demands("getOperation", [OperationScopes.Operations]);
        v2.MapPost("/operations/{operationId}/decision", DecideAsync).Demands("decideOperation", [OperationScopes.Decisions]);
        v2.MapPost("/operations/{operationId}/cancel", CancelAsync).Demands("cancelOperation", [OperationScopes.Operations], bodyIsOptional: true);
    }

    private async Task<IResult> CreateAsync(string userId, HttpContext context)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.CreateOperationBody, ruleOf: member => member is "expiresIn" ? OperationLimits.ExpiresInRule : null);
        RequestTarget.TryDecode(userId, out userId);
        var request = new CreateOperation
        {
            OperationId = body?.OperationId!,
            ExternalUserId = body?.ExternalUserId,
            Payload = body?.OperationPayload,
            AuthType = AuthTypeText.Parse(body?.AuthType),
            Attempt = Guid.NewGuid().ToString("N"),
            IdempotencyKey = SentOnce(context.Request.Headers["Idempotency-Key"]),
            ExpiresIn = body?.ExpiresIn is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
        };

        error ??= OperationLimits.ErrorInUserId(userId)
            ?? OperationLimits.ErrorIn(request)
            ?? AuthTypeText.ErrorIn(body!.AuthType, required: false);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var user = grains.GetUser(new(context.Customer().Name, userId));
        return Answer(await audit.RecordAsync(context.Key(), "create", [("userId", userId), ("operationId", request.OperationId)], () => GrainRetry.CallAsync(clock, () => user.CreateAsync(request)), OperationMetrics.NameOf));
    }

    private async Task<IResult> ReadAsync(string operationId, HttpContext context)
    {
        if (ErrorInPath(ref operationId) is { } error)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var customer = context.Customer();
        var grain = grains.GetOperation(new(customer.Name, operationId));
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

    private async Task<IResult> DecideAsync(string operationId, HttpContext context)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.DecisionBody);
        error = ErrorInPath(ref operationId)
            ?? error
            ?? OperationLimits.ErrorInUserId(body!.UserId)
            ?? (body.Decision is "approve" or "deny" ? null : "decision must be 'approve' or 'deny'.")
            ?? AuthTypeText.ErrorIn(body.AuthType, required: true)
            ?? OperationLimits.ErrorInPayload(body.OperationPayload)
            ?? OperationLimits.ErrorInReason(body.Reason)
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

        var operation = grains.GetOperation(new(context.Customer().Name, operationId));
        return Answer(await audit.RecordAsync(context.Key(), body.Decision!, [("userId", decision.UserId), ("operationId", operationId)], () => GrainRetry.CallAsync(clock, () => operation.DecideAsync(decision)), OperationMetrics.NameOf));
    }

    private async Task<IResult> CancelAsync(string operationId, HttpContext context)
    {
        var (body, error) = await ApiContract.ReadBodyAsync(context, OperationJson.Web.CancelBody, otherwise: new());
        error = ErrorInPath(ref operationId) ?? error ?? OperationLimits.ErrorInReason(body!.Reason);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var operation = grains.GetOperation(new(context.Customer().Name, operationId));
        return Answer(await audit.RecordAsync(context.Key(), "cancel", [("operationId", operationId)], () => GrainRetry.CallAsync(clock, () => operation.CancelAsync(body!.Reason)), OperationMetrics.NameOf));
    }

    // Two headers must not pass as one key with a comma in it. The empty key is refused by validation.
    private static string? SentOnce(StringValues header) => header.Count <= 1 ? header : "";

    private static string? ErrorInPath(ref string operationId) =>
        RequestTarget.TryDecode(operationId, out operationId)
            ? OperationLimits.ErrorInOperationId(operationId)
            : "operationId in the path must be percent-encoded UTF-8.";

    private static IResult Answer(OperationOutcome outcome) => outcome switch
    {
        OperationOutcome.Done => Success,
        OperationOutcome.Duplicate => OperationProblems.Exists.Because("operationId must be new: an operation of this id exists or existed."),
        OperationOutcome.IdempotencyKeyReused => OperationProblems.IdempotencyKeyReused.Because("Idempotency-Key was sent before for this operationId, with another user or other members."),
        OperationOutcome.PendingLimitReached => OperationProblems.PendingLimitReached.Because("The user has as many pending operations as the service allows; decide one of them to make room."),
        OperationOutcome.PendingBytesReached => OperationProblems.PendingBytesReached.Because("The user's pending list has as many bytes, as it is sent, as the service allows; decide one of its operations to make room."),
        OperationOutcome.NotFound => OperationProblems.NotFound.Because("operationId names no operation."),
        OperationOutcome.AlreadyDecided => OperationProblems.AlreadyDecided.Because("decision and authType must be those of the first decision, which never changes."),
        OperationOutcome.WrongUser => OperationProblems.WrongUser.Because("userId must be the user whom the operation asks."),
        OperationOutcome.AuthTypeNotAllowed => OperationProblems.AuthTypeNotAllowed.Because("authType must be the one that the operation demands."),
        OperationOutcome.AlreadyApproved => OperationProblems.AlreadyDecided.Because("It cannot be cancelled any more: the user has approved it."),
        OperationOutcome.AlreadyDenied => OperationProblems.AlreadyDecided.Because("It cannot be cancelled any more: the user has denied it."),
        OperationOutcome.Expired => OperationProblems.Expired.Because("The operation's deadline, expiresAt, has passed: it can be neither decided nor cancelled."),
        OperationOutcome.Cancelled => OperationProblems.Cancelled.Because("The operation was cancelled before it was decided."),
        OperationOutcome.PayloadMismatch => OperationProblems.PayloadMismatch.Because("operationPayload must be the operation's, to the character, or absent."),
        _ => throw new InvalidOperationException($"Outcome {outcome} has no HTTP mapping."),
    };
}
