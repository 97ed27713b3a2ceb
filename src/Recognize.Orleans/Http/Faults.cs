using System.Data.Common;
using Microsoft.AspNetCore.Diagnostics;
using Orleans.Storage;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Http;

/// <summary>Calls to grains that outlive the death of a silo, and what clients see of a fault.</summary>
internal static partial class Faults
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// Repeats a call that did not reach a living activation. Every grain call may be repeated and then reports what the
    /// first one did, so that nobody sees the change of silo but as a delay.
    /// </summary>
    /// <param name="clock">What the patience is measured with.</param>
    /// <param name="call">The call; a write is never given up half-way because its client went away.</param>
    /// <param name="cancellationToken">Ends the pauses between reads.</param>
    public static async Task<T> AskAsync<T>(TimeProvider clock, Func<Task<T>> call, CancellationToken cancellationToken = default)
    {
        long? refused = null;
        var pause = TimeSpan.FromMilliseconds(25);
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Exception fault) when (IsLostActivation(fault) && clock.GetElapsedTime(refused ??= clock.GetTimestamp()) < Patience)
            {
                await Task.Delay(pause, clock, cancellationToken);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }

    /// <summary>The status that a fault is answered with.</summary>
    public static int StatusOf(Exception fault) => fault switch
    {
        BadHttpRequestException bad => bad.StatusCode,
        CustomerBusyException => StatusCodes.Status429TooManyRequests,
        OperationCanceledException { CancellationToken.CanBeCanceled: true } => StatusCodes.Status499ClientClosedRequest,
        _ when KindOf(fault) is null => StatusCodes.Status500InternalServerError,
        _ => StatusCodes.Status503ServiceUnavailable,
    };

    // A silo died, left or was voted dead, or another activation of the same grain was faster (its row has a newer version).
    private static bool IsLostActivation(Exception fault) =>
        fault is OrleansMessageRejectionException or InconsistentStateException or SiloFencedException;

    /// <summary>What kind of fault it is, or null for a fault of the program itself.</summary>
    private static string? KindOf(Exception fault) => fault switch
    {
        TimeoutException => "timeout",

        // Without a token of this process it is no client that went away: Orleans tells so of a message that a frozen node kept for too long.
        OperationCanceledException => "silo",
        StorageBusyException => "busy",
        DbException or InconsistentStateException or StorageFaultException => "storage",
        { InnerException: { } inner } and OrleansException => KindOf(inner) ?? (IsUnreadable(inner) ? null : "silo"),
        OrleansException => "silo",
        { InnerException: { } inner } => KindOf(inner),
        _ => null,
    };

    // A row that this version cannot read is no outage: sending the request again will not help.
    private static bool IsUnreadable(Exception fault) =>
        fault is NotSupportedException or System.Text.Json.JsonException || (fault.InnerException is { } inner && IsUnreadable(inner));

    /// <summary>Turns exceptions into problem details that show nothing of the inside.</summary>
    internal sealed partial class Handler(Metrics metrics, TimeProvider clock, ILogger<Handler> logger) : IExceptionHandler
    {
        private long quietUntil;

        public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
        {
            switch (exception)
            {
                case OperationCanceledException when httpContext.RequestAborted.IsCancellationRequested:
                    return true;
                case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge }:
                    await Problem.BodyTooLarge.WriteAsync(httpContext, $"The body must have at most {OperationLimits.BodyBytes} bytes.");
                    return true;
                case CustomerBusyException:
                    httpContext.Response.Headers.RetryAfter = "1";
                    await Problem.TooManyCalls.WriteAsync(httpContext, "The customer's large lists take all that they may of this node at the moment. The request took no effect; send it again.");
                    return true;
                case BadHttpRequestException bad:
                    await (Problem.BadRequest with { Status = bad.StatusCode }).WriteAsync(httpContext, "The body could not be read.");
                    return true;
            }

            var kind = KindOf(exception);
            metrics.Fault(kind ?? "program");
            if (kind is null)
            {
                Log.Failed(logger, httpContext.Request.Method, exception);
                await Problem.Internal.WriteAsync(httpContext, "The fault is recorded. Whether the request took effect is unknown; send it again.");
                return true;
            }

            LogUnavailable(kind, exception);
            httpContext.Response.Headers.RetryAfter = "1";
            await Problem.Unavailable.WriteAsync(httpContext, $"Its database or a node does not do what it was asked. {WhatToDo(httpContext.Request.Method, exception)}");
            return true;
        }

        private static string WhatToDo(string method, Exception fault) => method switch
        {
            "GET" or "HEAD" => "Send the request again.",
            _ when StorageFaults.IsRefusal(fault) => "The request took no effect; send it again.",
            _ => "Whether the request took effect is unknown; send it again, a create with its Idempotency-Key.",
        };

        // An outage fails every request: one line in ten seconds tells it, the metrics count the rest.
        private void LogUnavailable(string kind, Exception exception)
        {
            var now = clock.GetUtcNow().UtcTicks;
            var until = Volatile.Read(ref quietUntil);
            if (now >= until && Interlocked.CompareExchange(ref quietUntil, now + TimeSpan.TicksPerSecond * 10, until) == until)
            {
                Log.Unavailable(logger, kind, exception.GetType().Name, exception.Message);
            }
        }

        private static partial class Log
        {
            [LoggerMessage(10, LogLevel.Error, "A {Method} request was answered 500.")]
            public static partial void Failed(ILogger logger, string method, Exception exception);

            [LoggerMessage(11, LogLevel.Warning, "Requests are answered 503, kind {Kind}: {Cause}: {Message} (said at most every ten seconds)")]
            public static partial void Unavailable(ILogger logger, string kind, string cause, string message);
        }
    }
}
