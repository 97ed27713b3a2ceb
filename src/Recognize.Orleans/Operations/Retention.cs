using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>
/// Finds operations that ended longer ago than they are kept. From time to time one silo scans the histories and calls
/// the grains of old operations. Each grain decides by the service's clock and removes its own row, as its only writer.
/// </summary>
internal sealed partial class Retention(
    OperationHistory history,
    IGrainFactory grains,
    ISiloStatusOracle silos,
    Settings settings,
    TimeProvider clock,
    ILogger<Retention> logger) : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromHours(1);

    // How many keys are read, and how many grains are called, at once. Few, because creates share a commit with
    // removals and wait for it.
    private const int KeysPerPage = 500;
    private const int Batch = 10;

    // After each page of keys, and after each page of one user's rows, comes a pause of this many times its duration.
    private const int PauseFactor = 9;

    /// <summary>
    /// Whether this silo is the one that sweeps. While a silo joins or leaves, two may think so. The work is then done
    /// twice, which is harmless.
    /// </summary>
    public bool IsItsTurn => silos.SiloAddress.Equals(silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Min());

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
        var (now, kept, tally) = (clock.GetUtcNow(), settings.Operations.Retention!, new Tally());
        await tally.TryAsync(() => RemoveTombstonesAsync(now - kept.Tombstones, tally, cancellationToken), cancellationToken);
        await tally.TryAsync(() => RemoveOperationsAsync(now - kept.Operations, tally, cancellationToken), cancellationToken);
        if (tally.Asked > 0)
        {
            Log.Swept(logger, tally.Asked);
        }

        if (tally.Fault is { } error)
        {
            Log.Failed(logger, error, tally.Failed, Interval);
        }
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
        var (after, before) = (OperationState.Tombstones, OperationState.TombstonesAt(removedBy) + OperationHistory.End);
        IReadOnlyList<(string Position, string GrainKey)> rows;
        do
        {
            var begun = clock.GetTimestamp();
            rows = await history.RowsAsync(after, before, Batch, cancellationToken);
            await Task.WhenAll(rows.Select(row => RemoveAsync(row.GrainKey, tally, cancellationToken)));
            await RestAsync(begun, cancellationToken);
            after = rows.Count > 0 ? rows[^1].Position : after;
        }
        while (rows.Count == Batch);
    }

    private async Task RemoveOperationsAsync(DateTimeOffset endedBy, Tally tally, CancellationToken cancellationToken)
    {
        // Nothing ends before it is created, so only operations that were created by then can be due.
        var before = UtcMilliseconds.Text(endedBy) + OperationHistory.End;
        var after = "";
        IReadOnlyList<string> keys;
        do
        {
            var begun = clock.GetTimestamp();
            keys = await history.KeysAsync(after, KeysPerPage, cancellationToken);
            await RestAsync(begun, cancellationToken);
            var old = keys.Select(OperationState.ParseHistoryKey)
                .OfType<(string Customer, string UserId, string Position)>()
                .Where(one => string.CompareOrdinal(one.Position, before) < 0)
                .Select(one => (one.Customer, one.UserId))
                .Distinct();
            foreach (var batch in old.Chunk(Batch))
            {
                await Task.WhenAll(batch.Select(user => tally.TryAsync(() => RemoveOperationsOfAsync(user.Customer, user.UserId, before, tally, cancellationToken), cancellationToken)));
            }

            after = keys.Count > 0 ? BehindUserOf(keys[^1]) : after;
        }
        while (keys.Count == KeysPerPage);
    }

    // The rest of a user's history is newer and is skipped, however long it is.
    private static string BehindUserOf(string historyKey) => OperationState.ParseHistoryKey(historyKey) is var (customer, userId, _)
        ? OperationState.HistoryOf(customer, userId) + OperationHistory.End
        : historyKey;

    // The operations of one user are removed one after the other, those of several users at the same time.
    private async Task RemoveOperationsOfAsync(string customer, string userId, string before, Tally tally, CancellationToken cancellationToken)
    {
        var begun = clock.GetTimestamp();
        var owner = OperationState.HistoryOf(customer, userId);
        var after = owner;
        IReadOnlyList<(string Position, string GrainKey)> rows;
        do
        {
            rows = await history.RowsAsync(after, owner + before, Batch, cancellationToken);
            foreach (var (historyKey, key) in rows)
            {
                await RemoveAsync(key, tally, cancellationToken);
                after = historyKey;
            }

            await RestAsync(begun, cancellationToken);
            begun = clock.GetTimestamp();
        }
        while (rows.Count == Batch);
    }

    private Task RemoveAsync(string grainKey, Tally tally, CancellationToken cancellationToken) => tally.TryAsync(
        async () =>
        {
            var (customer, operationId) = GrainFactoryExtensions.ParseKey(grainKey);
            await grains.GetOperation<IRemovableGrain>(customer, operationId).RemoveAsync().WaitAsync(cancellationToken);
            tally.Ask();
        },
        cancellationToken);

    private Task RestAsync(long begun, CancellationToken cancellationToken) => Task.Delay(PauseFactor * clock.GetElapsedTime(begun), clock, cancellationToken);

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
