using System.Runtime.InteropServices;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Api;

/// <summary>
/// The clients of this process that wait for a change. A parked wait costs no thread and no SQL: it sleeps until its
/// grain reports a change, its time is over, a silo is gone, its key is removed, or the process stops.
/// </summary>
internal sealed class FrontEndWaits : IChangeObserver, IDisposable
{
    private readonly IGrainFactory grains;
    private readonly CustomerDirectory customers;
    private readonly WaitSettings limits;
    private readonly ApiMetrics metrics;
    private readonly Lock gate = new();
    private readonly Dictionary<GrainId, List<Wait>> parked = [];
    private readonly Dictionary<string, int> perCustomer = new(StringComparer.Ordinal);
    private readonly Lazy<IChangeObserver> self;
    private int count;

    public FrontEndWaits(IGrainFactory grains, CustomerDirectory customers, WaitSettings limits, ApiMetrics metrics, TimeProvider clock)
    {
        this.grains = grains;
        this.customers = customers;
        this.metrics = metrics;
        this.limits = limits;
        Clock = clock;
        self = new(() => grains.CreateObjectReference<IChangeObserver>(this));
        customers.Changed += WakeAll;
    }

    public TimeProvider Clock { get; }

    public bool IsStopping { get; private set; }

    /// <summary>
    /// Begins a wait for the changes of a grain; null when as many clients wait as the settings allow.
    /// </summary>
    public Wait? Begin(WaitingClient call, GrainId grain)
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

    /// <summary>
    /// Answers every wait with the current state, and lets none park any more: the process is about to stop.
    /// </summary>
    public void Stop()
    {
        IsStopping = true;
        WakeAll();
    }

    public void Dispose() => customers.Changed -= WakeAll;
}

/// <summary>One client that waits for the changes of one grain.</summary>
internal sealed class Wait(FrontEndWaits waits, WaitingClient call, GrainId grain) : IDisposable
{
    // A notification can be lost with the silo that sends it, so a wait asks again after this time.
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    // The clock of the grain's node may be behind this one's, so that the deadline is not reached there yet.
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan PauseAfterRefusal = TimeSpan.FromSeconds(1);

    private TaskCompletionSource signal = NewSignal();

    public GrainId Grain => grain;

    public ApiKey Key => call.Key;

    /// <summary>Whether the client's key is still in force.</summary>
    public bool IsKeyInForce => waits.IsInForce(call.Key);

    /// <summary>Whether the wait has ended: the client must be answered now, changed or not.</summary>
    public bool IsOver => waits.IsStopping || !IsKeyInForce;

    /// <summary>
    /// Asks until an answer is enough, the client's time is up or the wait has ended; returns the last answer.
    /// </summary>
    /// <param name="until">Until when the client wants to wait.</param>
    /// <param name="ask">Reads the current answer.</param>
    /// <param name="isEnough">Whether an answer ends the wait.</param>
    /// <param name="due">When the answer changes by itself, at a deadline; null: never.</param>
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
                // While the client has time, neither an outage (503) nor a limit (429) ends its wait.
                next = waits.Clock.GetUtcNow() + PauseAfterRefusal;
            }

            await PauseAsync(Earlier(until, next));
        }

        bool IsToAnswer() => IsOver || waits.Clock.GetUtcNow() >= until;
    }

    /// <summary>The earlier of two times; a second one of null never comes.</summary>
    public static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset? other) => other < one ? other.Value : one;

    /// <summary>
    /// Asks the grain to report its next change. A read that begins after this completes cannot miss one.
    /// </summary>
    public Task WatchAsync()
    {
        Volatile.Write(ref signal, NewSignal());
        return waits.WatchAsync(grain, call.Aborted);
    }

    /// <summary>Sleeps until something may have changed, at most until the given time.</summary>
    /// <exception cref="OperationCanceledException">The client has gone away.</exception>
    public async Task PauseAsync(DateTimeOffset until)
    {
        var left = until - waits.Clock.GetUtcNow();
        left = left <= TimeSpan.Zero ? ShortestPause : TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds));
        var woken = Volatile.Read(ref signal);
        await using (waits.Clock.CreateTimer(Set, woken, left < LongestPause ? left : LongestPause, Timeout.InfiniteTimeSpan))
        await using (call.Aborted.UnsafeRegister(Set, woken))
        {
            // If the wait ended before WatchAsync replaced the signal, only the previous signal was set.
            if (!IsOver)
            {
                // Parked waits have a limit of their own, so this call no longer counts as one in flight.
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
