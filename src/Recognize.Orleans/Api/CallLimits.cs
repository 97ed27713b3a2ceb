using System.Collections.Concurrent;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http.Features;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Api;

/// <summary>
/// How much one customer may ask of this process, so that it starves no other: calls in flight, of which some more queue for a second,
/// and calls per second, of which some more are refused at once.
/// </summary>
// The rate limiting middleware of ASP.NET Core holds a permit until the request ends, and a client that waits would hold it for a minute.
internal sealed class CallLimits(Settings settings, Metrics metrics, TimeProvider clock) : IDisposable
{
    private static readonly TimeSpan LongestQueueTime = TimeSpan.FromSeconds(1);

    private readonly CallSettings limits = settings.Calls;

    // Customers are a closed set, so a limiter stays. A PartitionedRateLimiter disposes an idle one, which a call may just have looked up.
    private readonly ConcurrentDictionary<string, Limiters> limiters = new(StringComparer.Ordinal);

    /// <summary>Serves a request within the limits of its customer; one without a customer needs no permit.</summary>
    public Task ServeAsync(HttpContext context, RequestDelegate next) =>
        context.Features.Get<ApiKey>() is { } key ? ServeAsync(context, next, limiters.GetOrAdd(key.Customer.Name, static (_, limits) => new(limits), limits)) : next(context);

    public void Dispose()
    {
        foreach (var limiter in limiters.Values)
        {
            limiter.InFlight.Dispose();
            limiter.PerSecond?.Dispose();
        }
    }

    private async Task ServeAsync(HttpContext context, RequestDelegate next, Limiters customer)
    {
        using var token = customer.PerSecond?.AttemptAcquire();
        if (token is { IsAcquired: false })
        {
            await RefuseAsync(context, $"A customer may send one process {limits.PerSecond} calls per second, a burst of as many included. Send fewer, and this one again; it took no effect.");
            return;
        }

        using var permit = await AcquireAsync(customer.InFlight, context.RequestAborted);
        if (permit is not { IsAcquired: true })
        {
            await RefuseAsync(context, $"A customer may have {limits.PerCustomer} calls in flight in one process, and as many that wait for a second at most. Await answers before you send more, and send this one again; it took no effect.");
            return;
        }

        context.Features.Set(permit);
        await next(context);
    }

    private ValueTask<RateLimitLease?> AcquireAsync(RateLimiter inFlight, CancellationToken aborted)
    {
        // Nearly always there is room, which costs neither a timer nor a state machine.
        var permit = inFlight.AttemptAcquire();
        return permit.IsAcquired ? new(permit) : QueueAsync(inFlight, aborted);
    }

    private async ValueTask<RateLimitLease?> QueueAsync(RateLimiter inFlight, CancellationToken aborted)
    {
        using var timeout = new CancellationTokenSource(LongestQueueTime, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, aborted);
        try
        {
            var place = inFlight.AcquireAsync(1, end.Token);
            return await (place.IsCompleted ? place : CountAsync(place));
        }
        catch (OperationCanceledException) when (!aborted.IsCancellationRequested)
        {
            return null;
        }

        async ValueTask<RateLimitLease> CountAsync(ValueTask<RateLimitLease> queued)
        {
            metrics.Queued(1);
            try
            {
                return await queued;
            }
            finally
            {
                metrics.Queued(-1);
            }
        }
    }

    private static Task RefuseAsync(HttpContext context, string detail)
    {
        context.Response.Headers.RetryAfter = "1";
        return Problem.TooManyCalls.WriteAsync(context, detail);
    }

    private sealed class Limiters(CallSettings limits)
    {
        // The rate in steps of a tenth of a second, or of one call where calls are fewer.
        private const int StepsPerSecond = 10;

        public ConcurrencyLimiter InFlight { get; } =
            new(new() { PermitLimit = limits.PerCustomer, QueueLimit = limits.PerCustomer, QueueProcessingOrder = QueueProcessingOrder.OldestFirst });

        public TokenBucketRateLimiter? PerSecond { get; } = limits.PerSecond is not { } rate ? null : Create(rate, (rate + StepsPerSecond - 1) / StepsPerSecond);

        // Its own timer adds a step at a time. TryReplenish counts from when the bucket was last short: an idle customer would have two bursts.
        private static TokenBucketRateLimiter Create(int rate, int step) =>
            new(new() { TokenLimit = rate, TokensPerPeriod = step, ReplenishmentPeriod = TimeSpan.FromSeconds((double)step / rate), QueueLimit = 0, AutoReplenishment = true });
    }
}

/// <summary>Places the limits in the pipeline, and lets go of them.</summary>
internal static class CallLimitsExtensions
{
    /// <summary>Limits what each customer asks of this process. Its key must be known by then; whatever comes after counts, refusals included.</summary>
    public static IApplicationBuilder UseCallLimits(this IApplicationBuilder app) => app.Use(app.ApplicationServices.GetRequiredService<CallLimits>().ServeAsync);

    /// <summary>This call as one whose client waits for a change.</summary>
    public static WaitingCall Waiting(this HttpContext context)
    {
        var call = new WaitingCall(context.Features.GetRequiredFeature<ApiKey>(), context.Features.Get<RateLimitLease>(), context.RequestAborted);
        context.Features.Set(call);
        return call;
    }
}

/// <summary>A call whose client waits for a change.</summary>
/// <param name="key">The key that it came with.</param>
/// <param name="permit">Its permit among the calls in flight of its customer.</param>
/// <param name="aborted">The client has gone away.</param>
internal sealed class WaitingCall(ApiKey key, RateLimitLease? permit, CancellationToken aborted)
{
    public ApiKey Key => key;

    public CancellationToken Aborted => aborted;

    /// <summary>Whether it has begun to wait: how long it took then says nothing about the service.</summary>
    public bool HasWaited { get; private set; }

    public void Begin() => HasWaited = true;

    /// <summary>Parked from now on, it counts no more as a call in flight.</summary>
    public void Park() => permit?.Dispose();
}
