using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Storage;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Operations.Retention;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Operations;

[GrainType("recognize.operation")]
// An operation is busy for a moment and then read occasionally. A short age keeps idle activations from filling the
// memory.
[CollectionAgeLimit(Minutes = 1)]
// On the silo of the front end that asks for it first, or of the user's grain whose list shows it.
[PreferLocalPlacement]
internal sealed class OperationGrain : WatchedGrain, IOperationGrain, IReplayGrain, IRemovableGrain
{
    private readonly StoredState<OperationState> state;
    private readonly OperationSettings settings;
    private readonly OperationMetrics metrics;
    private readonly TimeProvider clock;

    // Calls interleave, writes do not: each begins after the one before has ended, and sees its outcome.
    private readonly Turns writes = new();
    private Task expiring = Task.CompletedTask;
    private bool isEndTold;

    public OperationGrain(IGrainStorage storage, Freshness freshness, OperationSettings settings, OperationMetrics metrics, TimeProvider clock)
    {
        state = new(this.GetGrainId(), storage, OperationState.Name, IsFinal, freshness);
        this.settings = settings;
        this.metrics = metrics;
        this.clock = clock;
    }

    public async Task<OperationOutcome> ReplayAsync(string userId, CreateOperation request)
    {
        var stored = await state.ReadAsync();
        DropIfNothing(stored);
        return stored?.Replay(userId, request) ?? OperationOutcome.NotFound;
    }

    public async Task<OperationOutcome> DecideAsync(Decision decision)
    {
        // The clock is read once: from here on the decision is in time, however long it is held up, unless an expiry is
        // written first.
        var now = clock.GetUtcNow();
        var outcome = await EndAsync(current => current.Decide(decision, now), decision.UserId);
        metrics.Decided(decision.Verdict, outcome);
        return outcome;
    }

    public async Task<OperationOutcome> CancelAsync(string? reason)
    {
        var now = clock.GetUtcNow();
        var outcome = await EndAsync(current => current.Cancel(reason, now));
        metrics.Cancelled(outcome);
        return outcome;
    }

    public async Task<Operation?> GetAsync()
    {
        var (_, current) = await ReadAsync();
        if (current?.IsOverdue(clock.GetUtcNow()) is true)
        {
            // "Expired" is written before any caller is told. A decision that is in flight to the database then fails;
            // a decision that was written first is returned. All callers share the write, and its failure.
            expiring = expiring.IsCompleted ? ExpireAsync() : expiring;
            await expiring;
            (_, current) = await ReadAsync();
        }

        return current?.ToOperation();
    }

    public async Task RemoveAsync()
    {
        if (settings.Retention is { } retention && ServiceClock.MaySweepBy(clock))
        {
            await RemoveIfOldAsync(retention, clock.GetUtcNow());
        }

        // It was only activated to check its age.
        DeactivateOnIdle();
    }

    // Retention can remove the row through another activation without this one noticing. So an end is final here only
    // until it is old enough to be removed.
    private bool IsFinal(OperationState known) =>
        known.Status is not OperationStatus.Pending && (settings.Retention is not { } retention || clock.GetUtcNow() < known.DecidedAt + retention.Operations);

    private async ValueTask<(GrainState<OperationState> Row, OperationState? Current)> ReadAsync()
    {
        var row = await state.ReadRowAsync();
        if (StoredState<OperationState>.StateIn(row) is not { RemovedAt: null } current)
        {
            DropIfNothing(null);
            return (row, null);
        }

        if (!isEndTold && current.DecidedAt is { } end)
        {
            // Another activation wrote this end, or a write of unknown outcome did: the user's list may not know of it
            // yet.
            isEndTold = true;
            if (clock.GetUtcNow() - end < OperationTimes.RecentEnd)
            {
                await TellOfEndAsync(current);
            }
        }

        return (row, current);
    }

    // Reads of ids that do not exist must not fill the memory.
    private void DropIfNothing(OperationState? found)
    {
        if (found is null && !IsWatched)
        {
            DeactivateOnIdle();
        }
    }

    private Task<OperationOutcome> ExpireAsync()
    {
        var now = clock.GetUtcNow();
        return EndAsync(current => (OperationOutcome.Expired, current.Expire(now)));
    }

    private async Task<OperationOutcome> EndAsync(Func<OperationState, (OperationOutcome Outcome, OperationState Next)> rule, string? userId = null)
    {
        using var turn = await writes.TakeAsync();

        // A decision names its user, whose grain knows what it has created a short time ago: that saves a read. A pending
        // operation changes only by its end, and the version refuses a write over any other row.
        var asked = userId is null || state.IsTrusted || OperationLimits.ErrorInUserId(userId) is not null ? null : User(userId);
        var created = asked is null ? null : await asked.EndingAsync(OperationKey.Parse(this.GetPrimaryKeyString()).OperationId);
        for (var isAnnounced = created is not null; ; isAnnounced = false)
        {
            // The rule and the version check of the write must use this same row, whatever is read in the meantime.
            var (row, current) = isAnnounced ? (StoredState<OperationState>.FirstVersion(created!), created) : await ReadAsync();
            var (outcome, next) = current is null ? (OperationOutcome.NotFound, null) : rule(current);
            if (next == current)
            {
                await TellNothingWasWrittenAsync(asked, current);
                return outcome;
            }

            if (await TryWriteEndAsync(row, next!, isAnnounced))
            {
                return outcome;
            }

            // Another activation wrote first. The same rule is applied to what it wrote.
        }
    }

    private Task TellNothingWasWrittenAsync(IOperationOwnerGrain? asked, OperationState? current) => asked is null
        ? Task.CompletedTask
        : asked.EndedAsync(OperationKey.Parse(this.GetPrimaryKeyString()).OperationId, hasEnded: current is { Status: not OperationStatus.Pending });

    private async Task<bool> TryWriteEndAsync(GrainState<OperationState> read, OperationState end, bool isAnnounced)
    {
        // Announced before the end can be visible: from here on the list is read from the rows, even if this silo dies.
        await (isAnnounced ? Task.CompletedTask : User(end.UserId).EndingAsync(end.OperationId));
        try
        {
            if (!await state.TryWriteAsync(read, end))
            {
                return false;
            }
        }
        catch
        {
            // The end may be stored, so clients that wait must ask again.
            TellWatchers();
            throw;
        }

        isEndTold = true;
        metrics.Ended(end.Status, end.DecidedAt!.Value - end.CreatedAt);
        await TellOfEndAsync(end);
        return true;
    }

    private Task TellOfEndAsync(OperationState end)
    {
        TellWatchers();
        return User(end.UserId).EndedAsync(end.OperationId, hasEnded: true);
    }

    private async Task RemoveIfOldAsync(RetentionSettings retention, DateTimeOffset now)
    {
        using var turn = await writes.TakeAsync();
        var read = await state.ReadRowAsync();
        var current = StoredState<OperationState>.StateIn(read);
        if (current?.HadEndedBy(now - retention.Operations) is true && await state.TryWriteAsync(read, current.Remove(now)))
        {
            metrics.Removed("operation");
        }
        else if (current?.RemovedAt <= now - retention.Tombstones && await state.TryDeleteAsync(read))
        {
            metrics.Removed("tombstone");
        }
    }

    private IOperationOwnerGrain User(string userId) =>
        GrainFactory.GetUser<IOperationOwnerGrain>(new(OperationKey.Parse(this.GetPrimaryKeyString()).Customer, userId));
}

/// <summary>What a user's grain asks of an operation that may exist already.</summary>
[GrainInterfaceType("recognize.replay")]
internal interface IReplayGrain : IGrainWithStringKey
{
    /// <summary>
    /// The outcome of a create when the operation exists; <see cref="OperationOutcome.NotFound"/> when it does not.
    /// </summary>
    // Does not wait for a decision that is being written.
    [AlwaysInterleave]
    [Alias("replay")]
    Task<OperationOutcome> ReplayAsync(string userId, CreateOperation request);
}
