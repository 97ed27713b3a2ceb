using System.Collections.Concurrent;
using System.Threading.RateLimiting;

namespace Recognize.Orleans.Api;

/// <summary>
/// Bounds the bytes of large answers that clients have not read yet, of each customer and of all of them in this process.
/// Small answers need no room.
/// </summary>
internal sealed class UnreadBytes(TimeProvider clock) : IDisposable
{
    /// <summary>The most of one customer.</summary>
    public const int MostOfCustomer = 32 * 1024 * 1024;

    /// <summary>The most of all customers.</summary>
    public const int MostOfProcess = 4 * MostOfCustomer;

    /// <summary>How long an answer waits for room.</summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(3);

    private const int Unit = 1024;

    // Customers are a closed set, so no entry needs to be removed.
    private readonly ConcurrentDictionary<string, ConcurrencyLimiter> customers = new(StringComparer.Ordinal);
    private readonly ConcurrencyLimiter all = Limit(MostOfProcess);

    /// <summary>
    /// Takes room for a large answer until its clients have read it or were cut off. An answer larger than all of the
    /// customer's room takes all of it.
    /// </summary>
    /// <exception cref="CustomerBusyException">There was no room for too long.</exception>
    public async Task<IDisposable> ReserveAsync(string customer, long bytes)
    {
        var units = (int)Math.Min(bytes, MostOfCustomer) / Unit;
        var own = await TakeAsync(customers.GetOrAdd(customer, static _ => Limit(MostOfCustomer)), units);
        try
        {
            return new Room(own, await TakeAsync(all, units));
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (var limiter in customers.Values)
        {
            limiter.Dispose();
        }

        all.Dispose();
    }

    private static ConcurrencyLimiter Limit(int bytes) => new(new() { PermitLimit = bytes / Unit, QueueLimit = int.MaxValue });

    private async Task<RateLimitLease> TakeAsync(ConcurrencyLimiter limiter, int units)
    {
        using var patience = new CancellationTokenSource(LongestWait, clock);
        try
        {
            return await limiter.AcquireAsync(units, patience.Token);
        }
        catch (OperationCanceledException)
        {
            throw new CustomerBusyException();
        }
    }

    private sealed class Room(RateLimitLease own, RateLimitLease ofAll) : IDisposable
    {
        public void Dispose()
        {
            ofAll.Dispose();
            own.Dispose();
        }
    }
}

/// <summary>A customer's clients have not read as much as they may leave unread in this process. Nothing was done.</summary>
internal sealed class CustomerBusyException() : Exception("The customer's clients leave as many bytes unread as they may in this process.");
