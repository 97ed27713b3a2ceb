using Recognize.Orleans.Cluster;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations.Retention;

/// <summary>
/// Finds operations that ended longer ago than they are kept. From time to time one silo scans the histories and calls
/// the grains of old operations. Each grain decides by the service's clock and removes its own row, as its only writer.
/// </summary>
internal sealed partial class RetentionSweeps : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromHours(1);

    private readonly IGrainFactory grains;
    private readonly ISiloStatusOracle silos;
    private readonly OperationSettings settings;
    private readonly TimeProvider clock;
    private readonly ILogger<RetentionSweeps> logger;
    private readonly RetentionWalk walk;
    private DateTimeOffset complete;

    public RetentionSweeps(RowReader rows, IGrainFactory grains, ISiloStatusOracle silos, OperationSettings settings, OperationMetrics metrics, TimeProvider clock, ILogger<RetentionSweeps> logger)
    {
        this.grains = grains;
        this.silos = silos;
        this.settings = settings;
        this.clock = clock;
        this.logger = logger;
        walk = new(rows.ReadAsync, clock);
        complete = clock.GetUtcNow();
        metrics.ObserveRetention(() => Lag()?.TotalSeconds);
    }

    /// <summary>
    /// Whether this silo is the one that sweeps. While a silo joins or leaves, two may think so. The work is then done
    /// twice, which is harmless.
    /// </summary>
    public bool IsItsTurn => silos.IsFirst();

    // What another silo left undone is counted from when this one took its turn over.
    private TimeSpan? Lag()
    {
        complete = IsItsTurn ? complete : clock.GetUtcNow();
        return IsItsTurn ? clock.GetUtcNow() - complete : null;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            await SweepInTurnAsync(stoppingToken);
            await Task.Delay(Interval, clock, stoppingToken);
        }
    }

    /// <summary>
    /// Removes what is due. A removal that fails is left to the next sweep and does not hold up the others.
    /// </summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var (now, kept, tally) = (clock.GetUtcNow(), settings.Retention!, new Tally());
        await tally.TryAsync(() => RemoveTombstonesAsync(now - kept.Tombstones, tally, cancellationToken), cancellationToken);
        await tally.TryAsync(() => RemoveOperationsAsync(now - kept.Operations, tally, cancellationToken), cancellationToken);
        if (tally.Asked > 0)
        {
            Log.Swept(logger, tally.Asked);
        }

        if (tally.Fault is { } error)
        {
            Log.Failed(logger, error, tally.Failed, Interval);
            return;
        }

        complete = now;
    }

    private async Task SweepInTurnAsync(CancellationToken stoppingToken)
    {
        try
        {
            if (IsItsTurn && ServiceClock.MaySweepBy(clock))
            {
                await SweepAsync(stoppingToken);
            }
        }
        catch (Exception exception) when (stoppingToken.IsCancellationRequested)
        {
            // A silo or a driver may throw any exception when it is stopped in the middle.
            throw new OperationCanceledException(exception.Message, exception, stoppingToken);
        }
    }

    private async Task RemoveTombstonesAsync(DateTimeOffset removedBy, Tally tally, CancellationToken cancellationToken)
    {
        var before = OperationState.TombstonesAt(removedBy) + OperationHistory.End;
        await foreach (var page in walk.GrainsAsync(OperationState.Tombstones, before, cancellationToken))
        {
            await Task.WhenAll(page.Select(key => RemoveAsync(key, tally, cancellationToken)));
        }
    }

    private async Task RemoveOperationsAsync(DateTimeOffset endedBy, Tally tally, CancellationToken cancellationToken)
    {
        // Nothing ends before it is created, so only operations that were created by then can be due.
        var before = UtcMilliseconds.Text(endedBy) + OperationHistory.End;
        await foreach (var owners in walk.OwnersAsync(before, cancellationToken))
        {
            foreach (var batch in owners.Chunk(RetentionWalk.Batch))
            {
                await Task.WhenAll(batch.Select(owner => tally.TryAsync(() => RemoveOperationsOfAsync(OperationState.PrefixOf(owner), before, tally, cancellationToken), cancellationToken)));
            }
        }
    }

    // The operations of one user are removed one after the other, those of several users at the same time.
    private async Task RemoveOperationsOfAsync(string owner, string before, Tally tally, CancellationToken cancellationToken)
    {
        await foreach (var page in walk.GrainsAsync(owner, owner + before, cancellationToken))
        {
            foreach (var key in page)
            {
                await RemoveAsync(key, tally, cancellationToken);
            }
        }
    }

    private Task RemoveAsync(string grainKey, Tally tally, CancellationToken cancellationToken) => tally.TryAsync(
        async () =>
        {
            await grains.GetOperation<IRemovableGrain>(OperationKey.Parse(grainKey)).RemoveAsync().WaitAsync(cancellationToken);
            tally.Ask();
        },
        cancellationToken);

    /// <summary>The result of a sweep. Of its errors, which usually have one cause, it keeps the first.</summary>
    private sealed class Tally
    {
        private int asked;
        private int failed;
        private Exception? error;

        public int Asked => asked;

        public int Failed => failed;

        public Exception? Fault => error;

        public void Ask() => Interlocked.Increment(ref asked);

        public async Task TryAsync(Func<Task> work, CancellationToken cancellationToken)
        {
            try
            {
                await work();
            }
            catch (Exception caught) when (!cancellationToken.IsCancellationRequested)
            {
                Interlocked.Increment(ref failed);
                Interlocked.CompareExchange(ref error, caught, null);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(50, LogLevel.Information, "Retention: {Count} operations and tombstones were old enough to be looked at.")]
        public static partial void Swept(ILogger logger, int count);

        [LoggerMessage(51, LogLevel.Warning, "Retention: {Count} removals failed, the first one with this fault; the next sweep, in {Interval}, tries again.")]
        public static partial void Failed(ILogger logger, Exception exception, int count, TimeSpan interval);
    }
}

/// <summary>A grain whose row retention can remove.</summary>
[GrainInterfaceType("recognize.removable")]
internal interface IRemovableGrain : IGrainWithStringKey
{
    /// <summary>Removes what the service's retention no longer keeps, if anything. May be repeated.</summary>
    [Alias("remove")]
    Task RemoveAsync();
}
