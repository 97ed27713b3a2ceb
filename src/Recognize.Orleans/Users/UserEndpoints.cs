using System.ComponentModel.DataAnnotations;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Http;
using Recognize.Orleans.Operations;

namespace Recognize.Orleans.Users;

/// <summary>The routes of users.</summary>
internal static class UserEndpoints
{
    public static void MapUsers(this IEndpointRouteBuilder v2) =>
        v2.MapGet("/users/{userId}/operations/pending", ListPendingAsync)
            .Demands("listPendingOperations", Scopes.Operations | Scopes.Decisions)
            .Produces<IReadOnlyList<PendingOperationBody>>()
            .Refuses(Problem.InvalidRequest)
            .WithSummary("List a user's pending operations")
            .WithDescription("The oldest first. A user that nobody has asked anything has an empty list.");

    private static async Task<IResult> ListPendingAsync(string userId, HttpContext context, IGrainFactory grains, TimeProvider clock)
    {
        RequestTarget.TryDecode(userId, out userId);
        if (OperationLimits.FaultInUserId(userId) is { } fault)
        {
            return Problem.InvalidRequest.Because(fault);
        }

        var user = grains.GetUser(context.Customer().Name, userId);
        var operations = await Faults.AskAsync(clock, user.ListPendingAsync, context.RequestAborted);
        return ApiContract.Json([.. operations.Select(PendingOperationBody.From)], HttpJson.Web.IReadOnlyListPendingOperationBody);
    }
}

/// <summary>An operation as an approver sees it.</summary>
public sealed record PendingOperationBody
{
    /// <inheritdoc cref="CreateOperationBody.OperationId"/>
    [Required, MinLength(1), MaxLength(OperationLimits.OperationId)]
    public required string OperationId { get; init; }

    /// <inheritdoc cref="CreateOperationBody.OperationPayload"/>
    [MaxLength(OperationLimits.Payload)]
    public string? OperationPayload { get; init; }

    /// <inheritdoc cref="CreateOperationBody.ExternalUserId"/>
    [MaxLength(OperationLimits.ExternalUserId)]
    public string? ExternalUserId { get; init; }

    /// <summary>The type of authentication that the operation demands; absent: either will do.</summary>
    [AllowedValues("biom", "pin")]
    public string? AuthType { get; init; }

    internal static PendingOperationBody From(Operation operation) => new()
    {
        OperationId = operation.OperationId,
        OperationPayload = operation.Payload,
        ExternalUserId = operation.ExternalUserId,
        AuthType = AuthTypeText.Of(operation.AuthType),
    };
}
