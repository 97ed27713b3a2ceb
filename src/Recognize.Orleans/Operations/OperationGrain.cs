using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Operations;

[GrainType("recognize.operation")]
// An operation is busy for a moment and then read now and then. A short age keeps idle ones from filling the memory.
[CollectionAgeLimit(Minutes = 2)]
// Beside the front end that asks for it first, or the user whose list shows it.
[PreferLocalPlacement]
internal sealed class OperationGrain : Grain, IOperationGrain, IReplayGrain, IWatchedGrain, IRemovableGrain
{
    private readonly StoredState<OperationState> state;
    private readonly Settings settings;
    private readonly Metrics metrics;
    private readonly TimeProvider clock;
    private readonly Watchers watchers = new();
    private bool isEndTold;
    private int creates;

    // The one write of this grain that is on its way, or the last one.
    private Task writing = Task.CompletedTask;
    private Task<OperationOutcome>? expiring;

    public OperationGrain(IGrainStorage storage, Freshness freshness, Settings settings, Metrics metrics, TimeProvider clock)
    {
        state = new(this.GetGrainId(), storage, OperationState.Name, IsFinal, freshness);
        this.settings = settings;
        this.metrics = metrics;
        this.clock = clock;
    }

    public async Task<OperationOutcome> CreateAsync(CreateOperation request)
    {
        if (OperationLimits.ErrorIn(request) is { } error)
        {
            throw new ArgumentException(error, nameof(request));
        }

        var (_, operationId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var outcome = await CreateOfUserAsync(operationId, request);
        if (outcome is OperationOutcome.Done)
        {
            // Most operations are not asked about for a while. Thousands a second that live on for their age would make
            // every garbage collection long.
            DeactivateOnIdle();
        }

        return outcome;
    }

    private async Task<OperationOutcome> CreateOfUserAsync(string operationId, CreateOperation request)
    {
        creates++;
        try
        {
            return await User(request.UserId).CreateAsync(operationId, request);
        }
        finally
        {
            creates--;
        }
    }

    public async Task<OperationOutcome> ReplayAsync(CreateOperation request)
    {
        var stored = await state.ReadAsync();
        DropIfNothing(stored);
        return stored?.Replay(request) ?? OperationOutcome.NotFound;
    }

    public async Task<OperationOutcome> DecideAsync(Decision decision)
    {
        // The one look at the clock: from here on the decision is in time, whatever holds it up, unless an expiry is written first.
        var now = clock.GetUtcNow();
        var outcome = await EndAsync(current => current.Decide(decision, now));
        metrics.OperationDecided(decision.Verdict, outcome);
        return outcome;
    }

    public async Task<OperationOutcome> CancelAsync(string? reason)
    {
        var now = clock.GetUtcNow();
        var outcome = await EndAsync(current => current.Cancel(reason, now));
        metrics.OperationCancelled(outcome);
        return outcome;
    }

    public async Task<Operation?> GetAsync()
    {
        var current = await ReadAsync();
        if (current?.IsOverdue(clock.GetUtcNow()) is true)
        {
            // Nobody is told "expired" before it is written: a decision that is on its way to the database then misses, and one that came first is told.
            await (expiring is { IsCompleted: false } ? expiring : expiring = ExpireAsync());
            current = await ReadAsync();
        }

        return current?.ToOperation();
    }

    public async Task RemoveAsync()
    {
        if (settings.Operations.Retention is { } retention && ServiceClock.MaySweepBy(clock))
        {
            await InTurnAsync(() => RemoveIfOldAsync(retention, clock.GetUtcNow()));
        }

        // Whatever it is, it was asked for its age only.
        DeactivateOnIdle();
    }

    public Task WatchAsync(IChangeObserver observer)
    {
        watchers.Add(observer);
        return Task.CompletedTask;
    }

    // Whoever waits on asks the next activation.
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        watchers.Tell(this.GetGrainId());
        return Task.CompletedTask;
    }

    // What retention may have removed behind the back of an activation that was replaced is no longer known for certain.
    private bool IsFinal(OperationState known) =>
        known.Status is not OperationStatus.Pending && (settings.Operations.Retention is not { } retention || clock.GetUtcNow() < known.DecidedAt + retention.Operations);

    private async ValueTask<OperationState?> ReadAsync() => (await ReadRowAsync()).Current;

    private async ValueTask<(GrainState<OperationState> Row, OperationState? Current)> ReadRowAsync()
    {
        var row = await state.ReadRowAsync();
        if (StoredState<OperationState>.StateIn(row) is not { RemovedAt: null } current)
        {
            DropIfNothing(null);
            return (row, null);
        }

        if (!isEndTold && current.DecidedAt is { } end)
        {
            // Another activation wrote this end, or a statement that was given up: its user's list may not know of it yet.
            isEndTold = true;
            if (clock.GetUtcNow() - end < Times.RecentEnd)
            {
                await TellOfEndAsync(current);
            }
        }

        return (row, current);
    }

    // Whoever asks about ids that do not exist must not fill the memory with them. A grain that leaves takes no call, and the user that a create waits
    // for may call back.
    private void DropIfNothing(OperationState? found)
    {
        if (found is null && creates == 0 && !watchers.Any)
        {
            DeactivateOnIdle();
        }
    }

    private Task<OperationOutcome> ExpireAsync()
    {
        var now = clock.GetUtcNow();
        return EndAsync(current => (OperationOutcome.Expired, current.Expire(now)));
    }

    private Task<OperationOutcome> EndAsync(Func<OperationState, (OperationOutcome Outcome, OperationState Next)> end) => InTurnAsync(async () =>
    {
        while (true)
        {
            // What the rule looks at and what the write compares is this one row, whatever is read meanwhile.
            var (row, current) = await ReadRowAsync();
            if (current is null)
            {
                return OperationOutcome.NotFound;
            }

            var (outcome, next) = end(current);
            if (next == current || await TryWriteEndAsync(row, next))
            {
                return outcome;
            }

            // Another activation was faster. What it wrote is what is told.
        }
    });

    private async Task<bool> TryWriteEndAsync(GrainState<OperationState> read, OperationState end)
    {
        // Before the end can be seen: from here on the list is read from the rows, even if this silo dies.
        var user = User(end.UserId);
        await user.EndingAsync(end.OperationId);
        try
        {
            if (!await state.TryWriteAsync(read, end))
            {
                return false;
            }
        }
        catch
        {
            // Whoever waits asks again: the end may be there.
            watchers.Tell(this.GetGrainId());
            throw;
        }

        isEndTold = true;
        await TellOfEndAsync(end);
        return true;
    }

    private Task TellOfEndAsync(OperationState end)
    {
        watchers.Tell(this.GetGrainId());
        return User(end.UserId).EndedAsync(end.OperationId);
    }

    private async Task<bool> RemoveIfOldAsync(RetentionSettings retention, DateTimeOffset now)
    {
        var read = await state.ReadRowAsync();
        var current = StoredState<OperationState>.StateIn(read);
        if (current?.HadEndedBy(now - retention.Operations) is true && await state.TryWriteAsync(read, current.Remove(now)))
        {
            metrics.Removed("operation");
            return true;
        }

        if (current?.RemovedAt <= now - retention.Tombstones && await state.TryDeleteAsync(read))
        {
            metrics.Removed("tombstone");
            return true;
        }

        return false;
    }

    // Calls interleave, writes do not: each begins when the one before it has ended, and sees what became of it.
    private async Task<T> InTurnAsync<T>(Func<Task<T>> write)
    {
        while (!writing.IsCompleted)
        {
            await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }

        var mine = write();
        writing = mine;
        try
        {
            return await mine;
        }
        finally
        {
            writing = writing == mine ? Task.CompletedTask : writing;
        }
    }

    private IOperationOwnerGrain User(string userId)
    {
        var (customer, _) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        return GrainFactory.GetUser<IOperationOwnerGrain>(customer, userId);
    }
}

/// <summary>What a user's grain asks of an operation that may exist already.</summary>
[GrainInterfaceType("recognize.replay")]
internal interface IReplayGrain : IGrainWithStringKey
{
    /// <summary>What a create is told when the operation exists; <see cref="OperationOutcome.NotFound"/> when it does not.</summary>
    // A create that came to the operation first waits for its user meanwhile.
    [AlwaysInterleave]
    [Alias("replay")]
    Task<OperationOutcome> ReplayAsync(CreateOperation request);
}
