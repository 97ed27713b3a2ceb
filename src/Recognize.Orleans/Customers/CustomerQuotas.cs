using System.Collections.Concurrent;
using System.Threading.RateLimiting;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Customers;

/// <summary>
/// The quotas of one customer's large answers in this process: one list is read and one is rendered at a time, bytes
/// per second are limited, and so are the bytes in flight to clients. Small answers are not held up,
/// and other customers only by the bytes that all of them may have in flight together.
/// </summary>
internal sealed class CustomerQuotas(TimeProvider clock) : IDisposable
{
    /// <summary>The most bytes of one customer's large answers that clients have not read yet.</summary>
    public const int MostOfCustomer = 32 * 1024 * 1024;

    /// <summary>The most bytes of all customers' large answers that clients have not read yet.</summary>
    public const int MostOfProcess = 4 * MostOfCustomer;

    /// <summary>
    /// The most bytes per second of one customer's large lists that are read from the database, as they are stored.
    /// </summary>
    public const int ReadPerSecond = 8 * 1024 * 1024;

    /// <summary>The most bytes per second of one customer's large lists that are rendered.</summary>
    public const int RenderedPerSecond = 16 * 1024 * 1024;

    /// <summary>The most bytes per second of one customer's large answers that are sent.</summary>
    public const int SentPerSecond = 32 * 1024 * 1024;

    private const int Unit = 1024;
    private const int StepsPerSecond = 20;

    // Whoever reads less than either while another call waits in vain does not take what it may: the database is slow. Half
    // of what the pace allows, and reads of a tenth of a second.
    private static readonly long MuchRead = (long)(ReadPerSecond * Times.LongestTurnWait.TotalSeconds / 2);
    private static readonly long ManyReads = Times.LongestTurnWait.Ticks / TimeSpan.FromMilliseconds(100).Ticks;

    // As many as a customer's calls in flight, which are limited too.
    private const int LongestQueue = 256;

    // Customers are a closed set, so no entry needs to be removed.
    private readonly ConcurrentDictionary<string, Share> customers = new(StringComparer.Ordinal);
    private readonly ConcurrencyLimiter unread = Limit(MostOfProcess / Unit);

    /// <summary>Waits for the customer's turn to read a large list.</summary>
    /// <exception cref="CustomerBusyException">Too many calls wait for it, or this one waited too long.</exception>
    /// <exception cref="StorageBusyException">The database answers the customer's reads too slowly.</exception>
    public async Task<RateLimitLease> TakeReadTurnAsync(string customer)
    {
        var share = Of(customer);
        var (bytes, reads) = share.ReadSoFar;
        if (await TryTakeAsync(share.Turns, 1) is { } turn)
        {
            return turn;
        }

        var now = share.ReadSoFar;
        throw now.Bytes - bytes < MuchRead && now.Reads - reads < ManyReads ? new StorageBusyException() : new CustomerBusyException();
    }

    /// <summary>Waits for the customer's turn to render a large list.</summary>
    /// <exception cref="CustomerBusyException">Too many calls wait for it, or this one waited too long.</exception>
    public Task<RateLimitLease> TakeRenderTurnAsync(string customer) => TakeAsync(Of(customer).Renderings, 1);

    /// <summary>
    /// Takes quota for a large answer until its clients have read it or were cut off. An answer larger than the whole
    /// quota takes all of it.
    /// </summary>
    /// <inheritdoc cref="TakeRenderTurnAsync"/>
    public async Task<IDisposable> ReserveUnreadAsync(string customer, long bytes)
    {
        var units = (int)Math.Min(bytes / Unit, MostOfCustomer / Unit);
        var own = await TakeAsync(Of(customer).Unread, units);
        try
        {
            return new Room(own, await TakeAsync(unread, units));
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    /// <summary>Counts what the database has answered to whoever has the turn to read.</summary>
    public void CountRead(string customer, long bytes) => Of(customer).Count(bytes);

    /// <summary>Completes when this many more bytes of the customer's large lists may be read.</summary>
    public ValueTask PaceReadAsync(string customer, long bytes) => PaceAsync(Of(customer).Read, Math.Min(bytes, ReadPerSecond));

    /// <summary>Completes when this many more bytes of the customer's large lists may be rendered.</summary>
    public ValueTask PaceRenderAsync(string customer, long bytes) => PaceAsync(Of(customer).Rendered, Math.Min(bytes, RenderedPerSecond));

    /// <summary>Completes when this many more bytes of the customer's large answers may be sent.</summary>
    public ValueTask PaceSendAsync(string customer, long bytes, CancellationToken cancellationToken) => PaceAsync(Of(customer).Sent, Math.Min(bytes, SentPerSecond), cancellationToken);

    public void Dispose()
    {
        foreach (var share in customers.Values)
        {
            share.Dispose();
        }

        unread.Dispose();
    }

    private Share Of(string customer) => customers.GetOrAdd(customer, static _ => new());

    private static ConcurrencyLimiter Limit(int permits) => new(new() { PermitLimit = permits, QueueLimit = permits * LongestQueue });

    private static TokenBucketRateLimiter Rate(int bytesPerSecond) => new(new()
    {
        TokenLimit = bytesPerSecond / Unit,
        TokensPerPeriod = bytesPerSecond / Unit / StepsPerSecond,
        ReplenishmentPeriod = TimeSpan.FromSeconds(1.0 / StepsPerSecond),
        QueueLimit = int.MaxValue,
    });

    private static ValueTask PaceAsync(TokenBucketRateLimiter rate, long bytes, CancellationToken cancellationToken = default)
    {
        var units = (int)Math.Max(bytes / Unit, 1);
        return rate.AttemptAcquire(units).IsAcquired ? ValueTask.CompletedTask : WaitAsync();

        async ValueTask WaitAsync() => (await rate.AcquireAsync(units, cancellationToken)).Dispose();
    }

    private async Task<RateLimitLease> TakeAsync(ConcurrencyLimiter limiter, int permits) => await TryTakeAsync(limiter, permits) ?? throw new CustomerBusyException();

    // Null: it waited too long.
    private async Task<RateLimitLease?> TryTakeAsync(ConcurrencyLimiter limiter, int permits)
    {
        using var patience = new CancellationTokenSource(Times.LongestTurnWait, clock);
        try
        {
            var lease = await limiter.AcquireAsync(permits, patience.Token);
            return lease.IsAcquired ? lease : throw new CustomerBusyException();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private sealed class Share : IDisposable
    {
        private long bytes;
        private long reads;

        public ConcurrencyLimiter Turns { get; } = Limit(1);

        public ConcurrencyLimiter Renderings { get; } = Limit(1);

        public ConcurrencyLimiter Unread { get; } = Limit(MostOfCustomer / Unit);

        public TokenBucketRateLimiter Read { get; } = Rate(ReadPerSecond);

        public TokenBucketRateLimiter Rendered { get; } = Rate(RenderedPerSecond);

        public TokenBucketRateLimiter Sent { get; } = Rate(SentPerSecond);

        /// <summary>What the database has answered since the start.</summary>
        public (long Bytes, long Reads) ReadSoFar => (Volatile.Read(ref bytes), Volatile.Read(ref reads));

        public void Count(long read)
        {
            Interlocked.Add(ref bytes, read);
            Interlocked.Increment(ref reads);
        }

        public void Dispose()
        {
            Turns.Dispose();
            Renderings.Dispose();
            Unread.Dispose();
            Read.Dispose();
            Rendered.Dispose();
            Sent.Dispose();
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

/// <summary>A customer's quota of large answers in one process is used up. Nothing was done.</summary>
[GenerateSerializer, Alias("recognize.customer-busy")]
internal sealed class CustomerBusyException() : OrleansException("The customer's large lists take all that they may of this process.");
