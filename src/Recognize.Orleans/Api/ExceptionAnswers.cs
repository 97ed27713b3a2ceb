using System.Data.Common;
using Microsoft.AspNetCore.Diagnostics;
using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Api;

/// <summary>What clients see of an exception.</summary>
internal static partial class ExceptionAnswers
{
    /// <summary>The HTTP status of the answer to an exception.</summary>
    public static int StatusOf(Exception exception) => exception switch
    {
        BadHttpRequestException bad => bad.StatusCode,
        CustomerBusyException => StatusCodes.Status429TooManyRequests,
        OperationCanceledException { CancellationToken.CanBeCanceled: true } => StatusCodes.Status499ClientClosedRequest,
        _ when KindOf(exception) is null => StatusCodes.Status500InternalServerError,
        _ => StatusCodes.Status503ServiceUnavailable,
    };

    /// <summary>The kind of the transient fault, or null for an error of the program itself.</summary>
    private static string? KindOf(Exception exception) => exception switch
    {
        TimeoutException => "timeout",

        // Without a token of this process, no client went away: Orleans throws this for a message that a frozen node
        // kept for too long.
        OperationCanceledException => "silo",
        StorageBusyException => "busy",
        DbException or InconsistentStateException or StorageFaultException => "storage",
        { InnerException: { } inner } and OrleansException => KindOf(inner) ?? (IsUnreadable(inner) ? null : "silo"),
        OrleansException => "silo",
        { InnerException: { } inner } => KindOf(inner),
        _ => null,
    };

    // A row that this version cannot read is no transient fault: a retry does not help.
    private static bool IsUnreadable(Exception exception) =>
        exception is NotSupportedException or System.Text.Json.JsonException || (exception.InnerException is { } inner && IsUnreadable(inner));

    /// <summary>Turns exceptions into problem details that reveal nothing internal.</summary>
    internal sealed partial class Handler(ApiMetrics metrics, TimeProvider clock, ILogger<Handler> logger) : IExceptionHandler
    {
        // An outage fails every request, and the metrics count them all.
        private readonly Throttle lines = new(clock, TimeSpan.FromSeconds(10));

        public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
        {
            switch (exception)
            {
                case OperationCanceledException when httpContext.RequestAborted.IsCancellationRequested:
                    return true;
                case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge }:
                    await Problem.BodyTooLarge.WriteAsync(httpContext, $"The body must have at most {ApiContract.LongestBody} bytes.");
                    return true;
                case CustomerBusyException:
                    httpContext.Response.Headers.RetryAfter = "1";
                    await Problem.TooManyCalls.WriteAsync(httpContext, "The customer's clients leave as many bytes of large answers unread as they may on this node at the moment. The request took no effect; send it again.");
                    return true;
                case BadHttpRequestException bad:
                    await (Problem.BadRequest with { Status = bad.StatusCode }).WriteAsync(httpContext, "The body could not be read.");
                    return true;
            }

            var kind = KindOf(exception);
            metrics.Fault(kind ?? "program");
            if (kind is null)
            {
                Log.Failed(logger, httpContext.Request.Method, httpContext.Route(), httpContext.TraceId(), exception);
                await Problem.Internal.WriteAsync(httpContext, "The error is recorded. Whether the request took effect is unknown; send it again.");
                return true;
            }

            if (lines.IsDue())
            {
                Log.Unavailable(logger, kind, httpContext.Request.Method, httpContext.Route(), httpContext.TraceId(), exception.GetType().Name, exception.Message);
            }

            httpContext.Response.Headers.RetryAfter = "1";
            await Problem.Unavailable.WriteAsync(httpContext, $"Its database or a node does not do what it was asked. {WhatToDo(httpContext.Request.Method, exception)}");
            return true;
        }

        private static string WhatToDo(string method, Exception exception) => method switch
        {
            "GET" or "HEAD" => "Send the request again.",
            _ when StorageFaults.IsRefusal(exception) => "The request took no effect; send it again.",
            _ => "Whether the request took effect is unknown; send it again, a create with its Idempotency-Key.",
        };

        private static partial class Log
        {
            [LoggerMessage(10, LogLevel.Error, "{Method} {Route} was answered 500, trace {TraceId}.")]
            public static partial void Failed(ILogger logger, string method, string route, string traceId, Exception exception);

            [LoggerMessage(11, LogLevel.Warning, "Requests are answered 503, kind {Kind}, as {Method} {Route}, trace {TraceId}: {Cause}: {Message} (said at most every ten seconds)")]
            public static partial void Unavailable(ILogger logger, string kind, string method, string route, string traceId, string cause, string message);
        }
    }
}
