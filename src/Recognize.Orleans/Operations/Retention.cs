using System.Runtime.CompilerServices;
using System.Text.Json;
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

    /// <summary>Removes what is due. What cannot be removed is left to the next sweep, and keeps nothing else from it.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var (now, kept) = (clock.GetUtcNow(), settings.Operations.Retention!);
        var (asked, failures) = (0, new Failures());
        try
        {
            var old = TombstonesAsync(now - kept.Tombstones, cancellationToken)
                .Concat(OperationsAsync(now - kept.Operations, failures, cancellationToken));
            var begun = clock.GetTimestamp();
            await foreach (var batch in old.Chunk(Batch).WithCancellation(cancellationToken))
            {
                await Task.WhenAll(batch.Select(grain => RemoveAsync(grain, failures)));
                asked += batch.Length;
                await Task.Delay(Pauses * clock.GetElapsedTime(begun), clock, cancellationToken);
                begun = clock.GetTimestamp();
            }
        }
        catch (Exception fault)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                return;
            }

            failures.Add(fault);
        }

        if (asked > 0)
        {
            Log.Swept(logger, asked);
        }

        if (failures.First is { } first)
        {
            Log.Failed(logger, first, failures.Count, Interval);
        }
    }

    private static async Task RemoveAsync(IRemovableGrain grain, Failures failures)
    {
        try
        {
            await grain.RemoveAsync();
        }
        catch (Exception fault)
        {
            failures.Add(fault);
        }
    }

    private async IAsyncEnumerable<IRemovableGrain> TombstonesAsync(DateTimeOffset removedBy, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var (after, before) = (OperationState.Tombstones, OperationState.TombstonesAt(removedBy) + OperationHistory.End);
        IReadOnlyList<(string Place, string GrainKey)> rows;
        do
        {
            rows = await history.TombstonesAsync(after, before, Places, cancellationToken);
            foreach (var (place, key) in rows)
            {
                var (customer, operationId) = GrainFactoryExtensions.ParseKey(key);
                yield return grains.GetOperation(customer, operationId).AsReference<IRemovableGrain>();
                after = place;
            }
        }
        while (rows.Count == Places);
    }

    // Of each user those that ended in time, and then the user who had any.
    private async IAsyncEnumerable<IRemovableGrain> OperationsAsync(DateTimeOffset endedBy, Failures failures, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // Nothing ends before it is created.
        var before = UtcMilliseconds.Text(endedBy) + OperationHistory.End;
        var after = "";
        IReadOnlyList<string> places;
        do
        {
            places = await history.PlacesAsync(after, Places, cancellationToken);
            foreach (var user in places.Select(OperationState.ParseHistoryKey).GroupBy(one => (one.Customer, one.UserId)))
            {
                var (customer, userId) = user.Key;
                if (string.CompareOrdinal(user.First().Place, before) < 0)
                {
                    var any = false;
                    await foreach (var operation in OperationsOfAsync(customer, userId, before, endedBy, failures, cancellationToken))
                    {
                        any = true;
                        yield return operation;
                    }

                    if (any)
                    {
                        yield return grains.GetUser(customer, userId).AsReference<IRemovableGrain>();
                    }
                }

                // What is left of a user's history is newer, however long it is.
                after = OperationState.HistoryOf(customer, userId) + OperationHistory.End;
            }
        }
        while (places.Count == Places);
    }

    private async IAsyncEnumerable<IRemovableGrain> OperationsOfAsync(
        string customer,
        string userId,
        string before,
        DateTimeOffset endedBy,
        Failures failures,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        IReadOnlyList<(string Place, OperationState State)> rows;
        do
        {
            try
            {
                rows = await history.ReadAsync(customer, userId, before, Batch, cancellationToken);
            }
            catch (Exception fault) when (fault is NotSupportedException or JsonException)
            {
                // A row that a newer version wrote, or that somebody broke. Other users' rows can be read.
                failures.Add(fault);
                yield break;
            }

            foreach (var (place, state) in rows)
            {
                if (state.HadEndedBy(endedBy))
                {
                    yield return grains.GetOperation(customer, state.OperationId).AsReference<IRemovableGrain>();
                }

                before = place;
            }
        }
        while (rows.Count == Batch);
    }

    /// <summary>How many removals failed; of the faults, which are likely to be one, the first.</summary>
    private sealed class Failures
    {
        private int count;
        private Exception? first;

        public int Count => count;

        public Exception? First => first;

        public void Add(Exception fault)
        {
            Interlocked.Increment(ref count);
            Interlocked.CompareExchange(ref first, fault, null);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(50, LogLevel.Information, "Retention: {Count} operations, tombstones and users were old enough to be looked at.")]
        public static partial void Swept(ILogger logger, int count);

        [LoggerMessage(51, LogLevel.Warning, "Retention: {Count} removals failed, the first one with this fault; the next sweep, in {Interval}, tries again.")]
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
