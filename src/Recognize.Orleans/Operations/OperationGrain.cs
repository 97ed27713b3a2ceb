using Orleans.Placement;
using Orleans.Storage;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Users;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Operations;

[GrainType("recognize.operation")]
// An operation is busy for a moment and then read now and then. A short age keeps idle ones from filling the memory.
[CollectionAgeLimit(Minutes = 2)]
// Beside the front end that was asked to create it, so that a create crosses to one other silo at most.
[PreferLocalPlacement]
internal sealed class OperationGrain : Grain, IOperationGrain, IWatchedGrain, IRemovableGrain
{
    private const string StateName = "operation";

    private readonly StoredState<OperationState> state;
    private readonly OperationNumbers numbers;
    private readonly Settings settings;
    private readonly Metrics metrics;
    private readonly TimeProvider clock;
    private readonly Watchers watchers = new();
    private Task ending = Task.CompletedTask;

    public OperationGrain(IGrainStorage storage, OperationNumbers numbers, Settings settings, Metrics metrics, TimeProvider clock)
    {
        state = new(this, storage, StateName) { BeginsElsewhere = storage is IPairedGrainStorage };
        this.numbers = numbers;
        this.settings = settings;
        this.metrics = metrics;
        this.clock = clock;
    }

    public async Task<OperationOutcome> CreateAsync(CreateOperation request)
    {
        if (OperationLimits.FaultIn(request) is { } fault)
        {
            throw new ArgumentException(fault, nameof(request));
        }

        // With both rows in one transaction the unique index says whether the operation is new; else a read must.
        var existing = state.CanWriteWith ? state.Current : await state.ReadAsync();
        var outcome = existing?.CreateAgain(request) ?? await CreateFirstAsync(request);
        metrics.OperationCreated(outcome);
        return outcome;
    }

    public async Task<OperationOutcome> DecideAsync(Decision decision)
    {
        var outcome = await EndAsync(current => current.Decide(decision, clock.GetUtcNow()));
        metrics.OperationDecided(decision.Verdict, outcome);
        return outcome;
    }

    public async Task<OperationOutcome> CancelAsync(string? reason)
    {
        var outcome = await EndAsync(current => current.Cancel(reason, clock.GetUtcNow()));
        metrics.OperationCancelled(outcome);
        return outcome;
    }

    public async Task<Operation?> GetAsync()
    {
        var current = await ReadAsync();
        if (current?.IsExpired(clock.GetUtcNow()) is true)
        {
            // A decision that came in time may be on its way to the database still: nobody is told "expired" before it
            // is known whether it arrived.
            await ending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            current = await ReadAsync();
        }

        return current?.ToOperation(clock.GetUtcNow());
    }

    public async Task RemoveAsync()
    {
        if (settings.Operations.Retention is not { } retention || await state.ReadAsync() is not { } current)
        {
            return;
        }

        var now = clock.GetUtcNow();
        if (current.HadEndedBy(now - retention.Operations))
        {
            await state.WriteAsync(current.Remove(now));
            metrics.Removed("operation");
        }
        else if (current.RemovedAt <= now - retention.Tombstones)
        {
            await state.DeleteAsync();
            metrics.Removed("tombstone");
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

    private async ValueTask<OperationState?> ReadAsync() => await state.ReadAsync() is { RemovedAt: null } current ? current : null;

    private async Task<OperationOutcome> EndAsync(Func<OperationState, (OperationOutcome Outcome, OperationState Next)> end)
    {
        if (await ReadAsync() is not { } current)
        {
            return OperationOutcome.NotFound;
        }

        var (outcome, next) = end(current);
        if (next != current)
        {
            ending = state.WriteAsync(next);
            await ending;
            watchers.Tell(this.GetGrainId());
            await User(next.UserId).ForgetAsync(next.OperationId);
        }

        return outcome;
    }

    private async Task<OperationOutcome> CreateFirstAsync(CreateOperation request)
    {
        var (customer, operationId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var next = OperationState.Create(operationId, request, await numbers.NextAsync(), settings.Silo.Name, clock.GetUtcNow(), settings.Operations.Lifetime);

        // The user's record is written before this row or with it: an operation that exists is on its user's list,
        // whatever crashes in between.
        var row = new FirstRow(StateName, this.GetGrainId(), StateSerializer.ToBytes(next), next.HistoryKey(customer));
        switch (await User(request.UserId).TrackAsync(operationId, row))
        {
            case TrackOutcome.LimitReached:
                // A create that was answered before is answered alike, however many are pending now.
                return (await state.ReadAsync())?.CreateAgain(request) ?? OperationOutcome.PendingLimitReached;
            case TrackOutcome.Exists:
                return (await state.ReadAgainAsync())?.CreateAgain(request) ?? OperationOutcome.Duplicate;
            case TrackOutcome.Created:
                state.WasInserted(next);

                // Most operations are not asked about for a while. Thousands a second that live on for their age make every
                // garbage collection long; one that is asked about is read again, in a group with others.
                DeactivateOnIdle();
                return OperationOutcome.Done;
            case TrackOutcome.Tracked:
                if (await state.ReadAsync() is { } existing)
                {
                    return existing.CreateAgain(request);
                }

                await state.WriteAsync(next);
                await User(request.UserId).ChangedAsync();
                return OperationOutcome.Done;
            case var outcome:
                throw new InvalidOperationException($"A user's grain answered {outcome}, which this version does not know.");
        }
    }

    private ITrackingGrain User(string userId)
    {
        var (customer, _) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        return GrainFactory.GetGrain<ITrackingGrain>(GrainFactoryExtensions.UserKey(customer, userId));
    }
}
