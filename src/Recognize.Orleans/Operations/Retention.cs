using Recognize.Orleans.Hosting;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>
/// Finds what ended longer ago than operations are kept: from time to time one silo goes through the histories and asks
/// the grains of what is old. Each decides by its own clock and removes itself, as the only writer of its row.
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

    private const int Places = 500;

    // What is removed at once. Creates share a commit with it; they do not wait for more than it.
    private const int Batch = 50;

    // Of the time that a sweep takes, this part is pauses in which it asks for nothing: 3 of 4.
    private const int Pauses = 3;

    /// <summary>Whether this silo is the one that sweeps. While one joins or leaves two may think so, which does the work twice and no harm.</summary>
    public bool IsItsTurn => silos.SiloAddress.Equals(silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Min());

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            if (IsItsTurn)
            {
                await SweepAsync(stoppingToken);
            }

            await Task.Delay(Interval, clock, stoppingToken);
        }
    }

    /// <summary>Removes what is due. What cannot be removed is left to the next sweep.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var count = new Count();
        try
        {
            var (now, kept) = (clock.GetUtcNow(), settings.Operations.Retention!);
            await RemoveTombstonesAsync(now - kept.Tombstones, count, cancellationToken);
            await RemoveOperationsAsync(now - kept.Operations, count, cancellationToken);
        }
        catch (Exception fault) when (!cancellationToken.IsCancellationRequested)
        {
            count.Fail(fault);
        }

        if (count.Asked > 0)
        {
            Log.Swept(logger, count.Asked);
        }

        if (count.Fault is { } last)
        {
            Log.Failed(logger, last, count.Failed, Interval);
        }
    }

    private async Task RemoveOperationsAsync(DateTimeOffset endedBy, Count count, CancellationToken cancellationToken)
    {
        // Nothing ends before it is created.
        var before = UtcMilliseconds.Text(endedBy) + OperationHistory.End;
        for (var after = ""; ;)
        {
            var places = await history.PlacesAsync(after, Places, cancellationToken);
            var users = places.Select(OperationState.ParseHistoryKey).ToList();
            foreach (var (customer, userId) in users.Where(one => string.CompareOrdinal(one.Place, before) < 0).Select(one => (one.Customer, one.UserId)).Distinct())
            {
                await count.TryAsync(() => RemoveOperationsOfAsync(customer, userId, before, endedBy, count, cancellationToken), cancellationToken);
            }

            if (places.Count < Places)
            {
                return;
            }

            // What is left of the last user's history is newer.
            after = OperationState.HistoryOf(users[^1].Customer, users[^1].UserId) + OperationHistory.End;
        }
    }

    private async Task RemoveOperationsOfAsync(string customer, string userId, string before, DateTimeOffset endedBy, Count count, CancellationToken cancellationToken)
    {
        var any = false;
        while (true)
        {
            var rows = await history.ReadAsync(customer, userId, before, Batch, cancellationToken);
            var due = rows.Where(row => row.State.HadEndedBy(endedBy)).Select(row => grains.GetOperation(customer, row.State.OperationId)).ToList();
            await RemoveAsync(due, count, cancellationToken);
            any |= due.Count > 0;
            if (rows.Count < Batch)
            {
                break;
            }

            before = rows[^1].Place;
        }

        if (any)
        {
            await grains.GetUser(customer, userId).AsReference<IRemovableGrain>().RemoveAsync();
        }
    }

    private async Task RemoveTombstonesAsync(DateTimeOffset removedBy, Count count, CancellationToken cancellationToken)
    {
        var after = OperationState.Tombstones;
        while (true)
        {
            var rows = await history.TombstonesAsync(after, OperationState.TombstonesAt(removedBy) + OperationHistory.End, Batch, cancellationToken);
            await RemoveAsync(rows.Select(row => GrainFactoryExtensions.ParseKey(row.GrainKey)).Select(key => grains.GetOperation(key.Customer, key.Id)).ToList(), count, cancellationToken);
            if (rows.Count < Batch)
            {
                return;
            }

            after = rows[^1].Place;
        }
    }

    private async Task RemoveAsync(List<IOperationGrain> due, Count count, CancellationToken cancellationToken)
    {
        var begun = clock.GetTimestamp();
        await Task.WhenAll(due.Select(operation => count.TryAsync(
            async () =>
            {
                await operation.AsReference<IRemovableGrain>().RemoveAsync();
                count.Ask();
            },
            cancellationToken)));
        await Task.Delay(Pauses * clock.GetElapsedTime(begun), clock, cancellationToken);
    }

    /// <summary>What came of a sweep. One row that cannot be removed keeps no other from it.</summary>
    private sealed class Count
    {
        private int asked;
        private int failed;

        public int Asked => asked;

        public int Failed => failed;

        public Exception? Fault { get; private set; }

        public void Ask() => Interlocked.Increment(ref asked);

        public void Fail(Exception fault)
        {
            Interlocked.Increment(ref failed);
            Fault = fault;
        }

        public async Task TryAsync(Func<Task> work, CancellationToken cancellationToken)
        {
            try
            {
                await work();
            }
            catch (Exception fault) when (!cancellationToken.IsCancellationRequested)
            {
                Fail(fault);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(50, LogLevel.Information, "Retention: {Count} operations and tombstones were old enough to be removed.")]
        public static partial void Swept(ILogger logger, int count);

        [LoggerMessage(51, LogLevel.Warning, "Retention: {Count} removals failed, the last one with this fault; the next sweep, in {Interval}, tries again.")]
        public static partial void Failed(ILogger logger, Exception fault, int count, TimeSpan interval);
    }
}

/// <summary>A grain that can be too old to be kept.</summary>
[GrainInterfaceType("recognize.removable")]
internal interface IRemovableGrain : IGrainWithStringKey
{
    /// <summary>Removes what the service's retention does not keep any longer, if anything. May be repeated.</summary>
    [Alias("remove")]
    Task RemoveAsync();
}
