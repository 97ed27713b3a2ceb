using System.Buffers.Text;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
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
    private const int DefaultLimit = 20;
    private const int LongestCursor = 100;
    private const string EventStream = "text/event-stream";

    private static readonly byte[] Comment = ":\n\n"u8.ToArray();

    // Proxies and load balancers close what is silent for a minute.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);

    public static void MapUsers(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/users/{userId}/operations", ListHistoryAsync)
            .Demands("listOperations", Scopes.Operations | Scopes.Decisions)
            .Produces<HistoryBody>()
            .Takes(ApiParameters.Limit, ApiParameters.Cursor, ApiParameters.Status)
            .Refuses(Problem.InvalidRequest)
            .WithSummary("List a user's operations")
            .WithDescription("Newest first, of any status. The cursor of a page leads to the next one; the last page has none. "
                + "With a status, a page looks at 1,000 operations at most: it may hold fewer than its limit, or none, and still have a cursor.");

        v2.MapGet("/users/{userId}/operations/pending", ListPendingAsync)
            .Demands("listPendingOperations", Scopes.Operations | Scopes.Decisions)
            .Produces<IReadOnlyList<PendingOperationBody>>()
            .Produces(StatusCodes.Status304NotModified)
            .Takes(ApiParameters.IfNoneMatch, ApiParameters.Prefer)
            .Refuses(Problem.InvalidRequest, Problem.TooManyWaits)
            .WithSummary("List a user's pending operations")
            .WithDescription("The oldest first. A user that nobody has asked anything has an empty list. "
                + "With If-None-Match and Prefer: wait, it is answered as soon as the list is another one, or 304 when the time is over.");

        v2.MapGet("/users/{userId}/operations/events", StreamPendingAsync)
            .Demands("streamPendingOperations", Scopes.Operations | Scopes.Decisions, answers: EventStream)
            .Produces<IReadOnlyList<PendingOperationBody>>(StatusCodes.Status200OK, EventStream)
            .Takes(ApiParameters.LastEventId)
            .Refuses(Problem.InvalidRequest, Problem.TooManyWaits)
            .WithSummary("Follow a user's pending operations")
            .WithDescription("Server-sent events of the name 'pending': each holds the whole list, the first one at once and another after every change, "
                + "so that a client that connects again has missed nothing. A comment at least every 15 seconds.");
    }

    private static async Task<IResult> ListHistoryAsync(string userId, HttpContext context, IGrainFactory grains, TimeProvider clock)
    {
        var query = context.Request.Query;
        var (limit, cursor, status) = (query["limit"], query["cursor"], query["status"]);
        string? after = null;
        var wanted = OperationBody.StatusOf(status);
        var count = limit.Count == 0 ? DefaultLimit : int.TryParse(limit is [var text] ? text : "", NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
        var fault = FaultInPath(ref userId)
            ?? OperationLimits.FaultInLimit(count)
            ?? (cursor.Count == 0 || (cursor is [{ Length: > 0 } place] && (after = PlaceOf(place)) is not null) ? null : OperationLimits.FaultInPlace(""))
            ?? OperationLimits.FaultInPlace(after)
            ?? (status.Count == 0 || wanted is not null ? null : "status must be one of 'pending', 'approved', 'denied', 'expired' and 'cancelled'.");
        if (fault is not null)
        {
            return Problem.InvalidRequest.Because(fault);
        }

        var customer = context.Customer();
        var user = grains.GetUser(customer.Name, userId);
        var page = await Faults.AskAsync(clock, () => user.ListHistoryAsync(wanted, after, count), context.RequestAborted);
        var body = new HistoryBody
        {
            Operations = [.. page.Operations.Select(operation => OperationBody.From(operation, customer))],
            Cursor = page.Next is null ? null : Base64Url.EncodeToString(Encoding.ASCII.GetBytes(page.Next)),
        };
        return ApiContract.Json(body, HttpJson.Web.HistoryBody);
    }

    private static string? PlaceOf(string cursor)
    {
        Span<byte> place = stackalloc byte[LongestCursor];
        return cursor.Length <= LongestCursor && Base64Url.IsValid(cursor) && Base64Url.TryDecodeFromChars(cursor, place, out var length) && Ascii.IsValid(place[..length])
            ? Encoding.ASCII.GetString(place[..length])
            : null;
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

        if (HttpMethods.IsHead(context.Request.Method))
        {
            return Results.Empty;
        }

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

/// <summary>A page of a user's operations.</summary>
public sealed record HistoryBody
{
    /// <summary>The operations, newest first.</summary>
    [Required]
    public required IReadOnlyList<OperationBody> Operations { get; init; }

    /// <summary>Leads to the next page; absent on the last one. It stays valid, and means nothing to the client.</summary>
    public string? Cursor { get; init; }
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
