using System.ComponentModel.DataAnnotations;
using System.Text;
using System.Text.Json;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Http;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Users;

/// <summary>The routes of users.</summary>
internal static class UserEndpoints
{
    private const string EventStream = "text/event-stream";

    private static readonly byte[] Comment = ":\n\n"u8.ToArray();

    // Proxies and load balancers close what is silent for a minute.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);

    public static void MapUsers(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/users/{userId}/operations/pending", ListPendingAsync)
            .Demands("listPendingOperations", Scopes.Operations | Scopes.Decisions)
            .Produces<IReadOnlyList<PendingOperationBody>>()
            .Produces(StatusCodes.Status304NotModified)
            .Takes(ApiHeaders.IfNoneMatch, ApiHeaders.Prefer)
            .Refuses(Problem.InvalidRequest, Problem.TooManyWaits)
            .WithSummary("List a user's pending operations")
            .WithDescription("The oldest first. A user that nobody has asked anything has an empty list. "
                + "With If-None-Match and Prefer: wait, it is answered as soon as the list is another one, or 304 when the time is over.");

        v2.MapGet("/users/{userId}/operations/events", StreamPendingAsync)
            .Demands("streamPendingOperations", Scopes.Operations | Scopes.Decisions, answers: EventStream)
            .Produces<IReadOnlyList<PendingOperationBody>>(StatusCodes.Status200OK, EventStream)
            .Takes(ApiHeaders.LastEventId)
            .Refuses(Problem.InvalidRequest, Problem.TooManyWaits)
            .WithSummary("Follow a user's pending operations")
            .WithDescription("Server-sent events of the name 'pending': each holds the whole list, the first one at once and another after every change, "
                + "so that a client that connects again has missed nothing. A comment at least every 15 seconds.");
    }

    private static async Task<IResult> ListPendingAsync(string userId, HttpContext context, IGrainFactory grains, FrontEndWaits waits, TimeProvider clock)
    {
        if (FaultInPath(ref userId) is { } fault)
        {
            return Problem.InvalidRequest.Because(fault);
        }

        var user = grains.GetUser(context.Customer().Name, userId);
        var ask = PendingList.Of(user);
        var list = await Faults.AskAsync(clock, ask, context.RequestAborted);
        if (Conditions.IsKnown(context, list.Tag) && Conditions.PreferredWait(context) is { } patience)
        {
            using var wait = waits.Begin(context, user.GetGrainId());
            if (wait is null)
            {
                return ApiContract.TooManyWaits(context);
            }

            list = await wait.UntilAsync(clock.GetUtcNow() + patience, ask, now => !Conditions.IsKnown(context, now.Tag), now => now.Due);
            if (!wait.IsKeyInForce)
            {
                return ApiContract.InvalidKey(context);
            }
        }

        context.Response.Headers.ETag = $"\"{list.Tag}\"";
        return Conditions.IsKnown(context, list.Tag) ? Results.StatusCode(StatusCodes.Status304NotModified) : ApiContract.Json(list.Body);
    }

    private static async Task<IResult> StreamPendingAsync(string userId, HttpContext context, IGrainFactory grains, FrontEndWaits waits, TimeProvider clock)
    {
        if (FaultInPath(ref userId) is { } fault)
        {
            return Problem.InvalidRequest.Because(fault);
        }

        var user = grains.GetUser(context.Customer().Name, userId);
        var ask = PendingList.Of(user);
        using var wait = waits.Begin(context, user.GetGrainId());
        if (wait is null)
        {
            return ApiContract.TooManyWaits(context);
        }

        // Asked before the answer begins, so that a fault is an error answer still.
        await wait.WatchAsync();
        var list = await Faults.AskAsync(clock, ask, context.RequestAborted);
        context.Response.ContentType = EventStream;
        context.Response.Headers["X-Accel-Buffering"] = "no";

        var shown = context.Request.Headers["Last-Event-ID"].ToString();
        var spoken = DateTimeOffset.MinValue;
        while (!wait.IsOver)
        {
            var silence = clock.GetUtcNow() - spoken;
            if (list.Tag != shown || silence >= LongestSilence)
            {
                await context.Response.Body.WriteAsync(list.Tag != shown ? list.ToEvent() : Comment, context.RequestAborted);
                await context.Response.Body.FlushAsync(context.RequestAborted);
                (shown, spoken) = (list.Tag, clock.GetUtcNow());
            }

            await wait.PauseAsync(Wait.Earlier(spoken + LongestSilence, list.Due));
            try
            {
                await wait.WatchAsync();
                list = await Faults.AskAsync(clock, ask, context.RequestAborted);
            }
            catch (Exception outage) when (Faults.StatusOf(outage) is StatusCodes.Status503ServiceUnavailable)
            {
                // The client connects again, and is told then.
                break;
            }
        }

        return Results.Empty;
    }

    private static string? FaultInPath(ref string userId)
    {
        RequestTarget.TryDecode(userId, out userId);
        return OperationLimits.FaultInUserId(userId);
    }

    /// <summary>A user's pending operations as they are sent.</summary>
    /// <param name="Body">The JSON array.</param>
    /// <param name="Tag">Names exactly this content.</param>
    /// <param name="Due">When the next of them expires.</param>
    private sealed record PendingList(byte[] Body, string Tag, DateTimeOffset? Due)
    {
        public static Func<Task<PendingList>> Of(IUserGrain user) => async () =>
        {
            var operations = await user.ListPendingAsync();
            var body = JsonSerializer.SerializeToUtf8Bytes([.. operations.Select(PendingOperationBody.From)], HttpJson.Web.IReadOnlyListPendingOperationBody);
            return new(body, Conditions.TagOf(body), operations.Min(operation => operation.ExpiresAt));
        };

        // JSON as it is written here holds no line break.
        public byte[] ToEvent() => [.. "event: pending\nid: "u8, .. Encoding.ASCII.GetBytes(Tag), .. "\ndata: "u8, .. Body, .. "\n\n"u8];
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

    /// <inheritdoc cref="OperationBody.ExpiresAt"/>
    [RegularExpression(OperationBody.TimePattern)]
    public string? ExpiresAt { get; init; }

    internal static PendingOperationBody From(Operation operation) => new()
    {
        OperationId = operation.OperationId,
        OperationPayload = operation.Payload,
        ExternalUserId = operation.ExternalUserId,
        AuthType = AuthTypeText.Of(operation.AuthType),
        ExpiresAt = operation.ExpiresAt is { } expiresAt ? OperationBody.Time(expiresAt) : null,
    };
}
