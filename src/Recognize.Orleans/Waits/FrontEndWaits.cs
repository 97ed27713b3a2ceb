using System.Runtime.InteropServices;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Waits;

/// <summary>
/// The clients of this process that wait for a change. A wait costs no thread and no SQL: it sleeps until its grain tells of a
/// change, its time is over, a silo has gone, its key is removed, or the process stops.
/// </summary>
internal sealed class FrontEndWaits : IChangeObserver, IDisposable
{
    private readonly IGrainFactory grains;
    private readonly CustomerDirectory customers;
    private readonly WaitSettings limits;
    private readonly Metrics metrics;
    private readonly Lock gate = new();
    private readonly Dictionary<GrainId, List<Wait>> parked = [];
    private readonly Dictionary<string, int> perCustomer = new(StringComparer.Ordinal);
    private readonly Lazy<IChangeObserver> self;
    private int count;

    public FrontEndWaits(IGrainFactory grains, CustomerDirectory customers, Settings settings, Metrics metrics, TimeProvider clock)
    {
        this.grains = grains;
        this.customers = customers;
        this.metrics = metrics;
        limits = settings.Waits;
        Clock = clock;
        self = new(() => grains.CreateObjectReference<IChangeObserver>(this));
        customers.Changed += WakeAll;
    }

    public TimeProvider Clock { get; }

    public bool IsStopping { get; private set; }

    /// <summary>Takes a place for a client that waits for changes of a grain; null when no place is left.</summary>
    public Wait? Begin(WaitingCall call, GrainId grain)
    {
        lock (gate)
        {
            ref var ofCustomer = ref CollectionsMarshal.GetValueRefOrAddDefault(perCustomer, call.Key.Customer.Name, out _);
            if (count >= limits.PerProcess || ofCustomer >= limits.PerCustomer)
            {
                return null;
            }

            count++;
            ofCustomer++;
            var wait = new Wait(this, call, grain);
            if (!parked.TryGetValue(grain, out var waits))
            {
                parked.Add(grain, waits = new(1));
            }

            waits.Add(wait);
            metrics.Waiting(1);
            call.Begin();
            return wait;
        }
    }

    public void End(Wait wait)
    {
        lock (gate)
        {
            var waits = parked[wait.Grain];
            waits.Remove(wait);
            if (waits.Count == 0)
            {
                parked.Remove(wait.Grain);
            }

            count--;
            perCustomer[wait.Key.Customer.Name]--;
        }

        metrics.Waiting(-1);
    }

    public Task WatchAsync(GrainId grain, CancellationToken cancellationToken) => GrainRetry.CallAsync(
        Clock,
        async () =>
        {
            await grains.GetGrain<IWatchedGrain>(grain).WatchAsync(self.Value);
            return true;
        },
        cancellationToken);

    public bool IsInForce(ApiKey key) => customers.IsInForce(key);

    public Task ChangedAsync(GrainId grain)
    {
        lock (gate)
        {
            if (parked.TryGetValue(grain, out var waits))
            {
                waits.ForEach(wait => wait.Wake());
            }
        }

        return Task.CompletedTask;
    }

    /// <summary>Makes every wait ask again, because a silo that held its grain may be gone.</summary>
    public void WakeAll()
    {
        lock (gate)
        {
            foreach (var wait in parked.Values.SelectMany(waits => waits))
            {
                wait.Wake();
            }
        }
    }

    /// <summary>Answers every wait with what is true now, and lets none begin: the process is about to stop.</summary>
    public void Stop()
    {
        IsStopping = true;
        WakeAll();
    }

    public void Dispose() => customers.Changed -= WakeAll;
}

/// <summary>One client that waits for the changes of one grain.</summary>
internal sealed class Wait(FrontEndWaits waits, WaitingCall call, GrainId grain) : IDisposable
{
    // A push can be lost with the silo that sends it.
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    // The grain's node may be behind this one, and its deadline still to come there.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan PauseOfAnOutage = TimeSpan.FromSeconds(1);

    private TaskCompletionSource signal = NewSignal();

    public GrainId Grain => grain;

    public ApiKey Key => call.Key;

    /// <summary>Whether the key that the client came with is in force still.</summary>
    public bool IsKeyInForce => waits.IsInForce(call.Key);

    /// <summary>Whether the client must be answered now, whatever has changed.</summary>
    public bool IsOver => waits.IsStopping || !IsKeyInForce;

    /// <summary>Asks until the answer will do, the time is over, or the wait is; then gives the last answer.</summary>
    /// <param name="until">The end of the client's patience.</param>
    /// <param name="ask">The question.</param>
    /// <param name="isEnough">Whether an answer ends the wait.</param>
    /// <param name="due">When the answer will be another one by itself.</param>
    public async Task<T> UntilAsync<T>(DateTimeOffset until, Func<Task<T>> ask, Func<T, bool> isEnough, Func<T, DateTimeOffset?> due)
    {
        while (true)
        {
            DateTimeOffset? next;
            try
            {
                await WatchAsync();
                var answer = await GrainRetry.CallAsync(waits.Clock, ask, call.Aborted);
                if (isEnough(answer) || IsToAnswer())
                {
                    return answer;
                }

                next = due(answer);
            }
            catch (Exception outage) when (ExceptionAnswers.StatusOf(outage) is StatusCodes.Status503ServiceUnavailable or StatusCodes.Status429TooManyRequests && !IsToAnswer())
            {
                // The client has time for the database or a node to come back.
                next = waits.Clock.GetUtcNow() + PauseOfAnOutage;
            }

            await PauseAsync(Earlier(until, next));
        }

        bool IsToAnswer() => IsOver || waits.Clock.GetUtcNow() >= until;
    }

    /// <summary>The earlier of two moments, of which the second may never come.</summary>
    public static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset? other) => other < one ? other.Value : one;

    /// <summary>Asks the grain to tell of its next change. What is read after that cannot miss one.</summary>
    public Task WatchAsync()
    {
        Volatile.Write(ref signal, NewSignal());
        return waits.WatchAsync(grain, call.Aborted);
    }

    /// <summary>Sleeps until something may have changed, at most until a moment.</summary>
    /// <exception cref="OperationCanceledException">The client has gone away.</exception>
    public async Task PauseAsync(DateTimeOffset until)
    {
        var left = until - waits.Clock.GetUtcNow();
        left = left <= TimeSpan.Zero ? ShortestPause : TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds));
        var woken = Volatile.Read(ref signal);
        await using (waits.Clock.CreateTimer(Set, woken, left < LongestPause ? left : LongestPause, Timeout.InfiniteTimeSpan))
        await using (call.Aborted.UnsafeRegister(Set, woken))
        {
            // What ended between the last look and now has woken the signal that was there before.
            if (!IsOver)
            {
                // What is parked is bounded by the places to wait.
                call.Park();
                await woken.Task;
            }
        }

        call.Aborted.ThrowIfCancellationRequested();
    }

    public void Wake() => Volatile.Read(ref signal).TrySetResult();

    public void Dispose() => waits.End(this);

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static void Set(object? woken) => ((TaskCompletionSource)woken!).TrySetResult();
}
