using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Primitives;
using Recognize.Orleans.Api;
using Recognize.Orleans.Operations.Pending;

namespace Recognize.Orleans.Operations;

/// <summary>The routes of users.</summary>
internal sealed class UserEndpoints(IGrainFactory grains, PendingLists lists, FrontEndWaits waits, TimeProvider clock)
{
    private const int DefaultLimit = 20;
    private const int LongestCursor = 100;
    private const string EventStream = "text/event-stream";

    private static readonly byte[] Comment = ":\n\n"u8.ToArray();
    private static readonly byte[] EndOfEvent = "\n\n"u8.ToArray();

    // Proxies and load balancers close connections that are silent for a minute.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);

    public void Map(IEndpointRouteBuilder v2)
    {
        v2.MapGet("/users/{userId}/operations", ListHistoryAsync).Demands("listOperations", [OperationScopes.Operations, OperationScopes.Decisions]);
        v2.MapGet("/users/{userId}/operations/pending", ListPendingAsync).Demands("listPendingOperations", [OperationScopes.Operations, OperationScopes.Decisions]);
        v2.MapGet("/users/{userId}/operations/events", StreamPendingAsync).Demands("streamPendingOperations", [OperationScopes.Operations, OperationScopes.Decisions], answers: EventStream);
    }

    private async Task<IResult> ListHistoryAsync(string userId, HttpContext context)
    {
        var query = context.Request.Query;
        var (limit, after, status) = (LimitIn(query["limit"]), PositionIn(query["cursor"]), OperationBody.StatusOf(query["status"]));
        var error = ErrorInPath(ref userId)
            ?? OperationLimits.ErrorInLimit(limit)
            ?? OperationLimits.ErrorInCursor(after)
            ?? (status is null && query.ContainsKey("status") ? "status must be one of 'pending', 'approved', 'denied', 'expired' and 'cancelled'." : null);
        if (error is not null)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var customer = context.Customer();
        var user = grains.GetUser(new(customer.Name, userId));
        var page = await GrainRetry.CallAsync(clock, () => user.ListHistoryAsync(status, after, limit), context.RequestAborted);
        var body = new HistoryBody
        {
            Operations = [.. page.Operations.Select(operation => OperationBody.From(operation, customer))],
            Cursor = page.Next is null ? null : Base64Url.EncodeToString(Encoding.ASCII.GetBytes(page.Next)),
        };
        return ApiContract.Json(body, UserJson.Web.HistoryBody);
    }

    // 0, which is no valid limit, when it is none.
    private static int LimitIn(StringValues sent)
    {
        if (sent.Count == 0)
        {
            return DefaultLimit;
        }

        return sent is [var text] && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : 0;
    }

    // The empty text, which is no valid position, when it is none.
    private static string? PositionIn(StringValues cursor)
    {
        if (cursor.Count == 0)
        {
            return null;
        }

        Span<byte> position = stackalloc byte[LongestCursor];
        return cursor is [{ Length: <= LongestCursor } text] && Base64Url.IsValid(text) && Base64Url.TryDecodeFromChars(text, position, out var length) && Ascii.IsValid(position[..length])
            ? Encoding.ASCII.GetString(position[..length])
            : "";
    }

    private async Task<IResult> ListPendingAsync(string userId, HttpContext context)
    {
        if (ErrorInPath(ref userId) is { } error)
        {
            return Problem.InvalidRequest.Because(error);
        }

        var isKnown = Conditions.KnownTags(context);
        using var reader = lists.Join(new(context.Customer().Name, userId));
        var list = await AskAsync();
        if (isKnown(list.Tag) && Conditions.PreferredWait(context) is { } patience)
        {
            using var wait = waits.Begin(context.Waiting(), reader.User);
            if (wait is null)
            {
                return ApiContract.TooManyWaits(context);
            }

            list = await wait.UntilAsync(clock.GetUtcNow() + patience, AskAsync, now => !isKnown(now.Tag), now => now.Due);
            if (!wait.IsKeyInForce)
            {
                return ApiContract.InvalidKey(context);
            }
        }

        var response = context.Response;
        response.Headers.ETag = $"\"{list.Tag}\"";
        if (isKnown(list.Tag))
        {
            return Results.StatusCode(StatusCodes.Status304NotModified);
        }

        response.ContentType = "application/json";
        response.ContentLength = list.Body.Length;
        await response.SendAsync(list.Body);
        return Results.Empty;

        // A client that waits holds no bytes, so that it uses no room that other answers need.
        async Task<RenderedList> AskAsync()
        {
            var current = await reader.AskAsync();
            if (isKnown(current.Tag))
            {
                reader.Release();
            }

            return current;
        }
    }

    private async Task<IResult> StreamPendingAsync(string userId, HttpContext context)
    {
        if (ErrorInPath(ref userId) is { } error)
        {
            return Problem.InvalidRequest.Because(error);
        }

        using var reader = lists.Join(new(context.Customer().Name, userId));
        using var wait = waits.Begin(context.Waiting(), reader.User);
        if (wait is null)
        {
            return ApiContract.TooManyWaits(context);
        }

        // Asked before the answer begins, so that a failure can still become an error answer.
        await wait.WatchAsync();
        var list = await reader.AskAsync();
        var response = context.Response;
        response.ContentType = EventStream;
        response.Headers["X-Accel-Buffering"] = "no";
        if (HttpMethods.IsHead(context.Request.Method))
        {
            return Results.Empty;
        }

        response.EndConnection();
        var shown = context.Request.Headers["Last-Event-ID"].ToString();
        var silentSince = DateTimeOffset.MinValue;
        while (!wait.IsOver)
        {
            if (list.Tag != shown)
            {
                await SendEventAsync(response, list);
                (shown, silentSince) = (list.Tag, clock.GetUtcNow());
            }
            else if (clock.GetUtcNow() - silentSince >= LongestSilence)
            {
                await response.SendAsync(Comment);
                silentSince = clock.GetUtcNow();
            }

            // A client that only listens holds no bytes, so that it uses no room that other answers need.
            reader.Release();
            await wait.PauseAsync(Wait.Earlier(silentSince + LongestSilence, list.Due));
            try
            {
                await wait.WatchAsync();
                list = await reader.AskAsync();
            }
            catch (Exception outage) when (ExceptionAnswers.StatusOf(outage) is StatusCodes.Status503ServiceUnavailable or StatusCodes.Status429TooManyRequests)
            {
                // The client connects again, and gets an error or the list then.
                break;
            }
        }

        return Results.Empty;
    }

    // A list contains no line break, which would end the line of the event.
    private static async Task SendEventAsync(HttpResponse response, RenderedList list)
    {
        await response.SendAsync(Encoding.ASCII.GetBytes($"event: pending\nid: {list.Tag}\ndata: "));
        await response.SendAsync(list.Body);
        await response.SendAsync(EndOfEvent);
    }

    private static string? ErrorInPath(ref string userId)
    {
        RequestTarget.TryDecode(userId, out userId);
        return OperationLimits.ErrorInUserId(userId);
    }
}

internal sealed record HistoryBody
{
    public required IReadOnlyList<OperationBody> Operations { get; init; }
    public string? Cursor { get; init; }
}

internal sealed record PendingOperationBody
{
    public required string OperationId { get; init; }
    public string? OperationPayload { get; init; }
    public string? ExternalUserId { get; init; }
    public string? AuthType { get; init; }
    public string? ExpiresAt { get; init; }

    public static PendingOperationBody From(Operation operation) => new()
    {
        OperationId = operation.OperationId,
        OperationPayload = operation.Payload,
        ExternalUserId = operation.ExternalUserId,
        AuthType = AuthTypeText.Of(operation.AuthType),
        ExpiresAt = operation.ExpiresAt is { } expiresAt ? OperationBody.Time(expiresAt) : null,
    };
}

[JsonSerializable(typeof(HistoryBody))]
[JsonSerializable(typeof(IReadOnlyList<PendingOperationBody>))]
internal sealed partial class UserJson : JsonSerializerContext
{
    public static UserJson Web { get; } = new(ApiJson.NewOptions());
}
