using System.Collections.Concurrent;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http.Features;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Api;

/// <summary>
/// Limits how much one customer may ask of this process, so that it starves no other. Calls beyond the limit of calls
/// in flight queue for up to a second, as far as the queue allows. Calls beyond the rate per second are refused at
/// once.
/// </summary>
// The rate limiting middleware of ASP.NET Core holds a permit until the request ends, so a client that waits would hold
// one for a minute.
internal sealed class CallLimits(CallSettings limits, ApiMetrics metrics, TimeProvider clock) : IDisposable
{
    private static readonly TimeSpan LongestQueueTime = TimeSpan.FromSeconds(1);

    // Customers are a closed set, so a limiter is never removed. A PartitionedRateLimiter disposes an idle one that a
    // call may just have looked up.
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
        // A permit is nearly always free, and this path needs neither a timer nor a state machine.
        var permit = inFlight.AttemptAcquire();
        return permit.IsAcquired ? new(permit) : QueueAsync(inFlight, aborted);
    }

    private async ValueTask<RateLimitLease?> QueueAsync(RateLimiter inFlight, CancellationToken aborted)
    {
        using var timeout = new CancellationTokenSource(LongestQueueTime, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, aborted);
        try
        {
            var permit = inFlight.AcquireAsync(1, end.Token);
            return await (permit.IsCompleted ? permit : CountAsync(permit));
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
        // The bucket is refilled ten times a second, or one call at a time when the rate is lower than that.
        private const int StepsPerSecond = 10;

        public ConcurrencyLimiter InFlight { get; } =
            new(new() { PermitLimit = limits.PerCustomer, QueueLimit = limits.PerCustomer, QueueProcessingOrder = QueueProcessingOrder.OldestFirst });

        public TokenBucketRateLimiter? PerSecond { get; } = limits.PerSecond is not { } rate ? null : Create(rate, (rate + StepsPerSecond - 1) / StepsPerSecond);

        // The limiter's own timer adds one step at a time. TryReplenish would count from when the bucket was last
        // short, so that an idle customer would get two bursts.
        private static TokenBucketRateLimiter Create(int rate, int step) =>
            new(new() { TokenLimit = rate, TokensPerPeriod = step, ReplenishmentPeriod = TimeSpan.FromSeconds((double)step / rate), QueueLimit = 0, AutoReplenishment = true });
    }
}

/// <summary>Adds the limits to the pipeline, and lets calls that wait leave them.</summary>
internal static class CallLimitsExtensions
{
    /// <summary>
    /// Limits what each customer asks of this process. Its key must be known by then. Every call that gets here counts,
    /// even if it is refused later.
    /// </summary>
    public static IApplicationBuilder UseCallLimits(this IApplicationBuilder app) => app.Use(app.ApplicationServices.GetRequiredService<CallLimits>().ServeAsync);

    /// <summary>Marks this call as one whose client waits for a change.</summary>
    public static WaitingClient Waiting(this HttpContext context)
    {
        var call = new WaitingClient(context.Features.GetRequiredFeature<ApiKey>(), context.Features.Get<RateLimitLease>(), context.RequestAborted);
        context.Features.Set(call);
        return call;
    }
}

/// <summary>A call whose client waits for a change.</summary>
/// <param name="key">The key that it came with.</param>
/// <param name="permit">Its permit among the customer's calls in flight.</param>
/// <param name="aborted">Cancelled when the client goes away.</param>
internal sealed class WaitingClient(ApiKey key, RateLimitLease? permit, CancellationToken aborted)
{
    public ApiKey Key => key;

    public CancellationToken Aborted => aborted;

    /// <summary>Whether it has begun to wait. Its duration then says nothing about the service.</summary>
    public bool HasBegun { get; private set; }

    public void Begin() => HasBegun = true;

    /// <summary>From now on it is parked, and no longer counts as a call in flight.</summary>
    public void Park() => permit?.Dispose();
}
