using Orleans.Concurrency;
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
// Beside the front end that asks for it first, or the user whose list shows it.
[PreferLocalPlacement]
internal sealed class OperationGrain : Grain, IOperationGrain, IExistingOperationGrain, IWatchedGrain, IRemovableGrain
{
    private readonly StoredState<OperationState> state;
    private readonly OperationNumbers numbers;
    private readonly Settings settings;
    private readonly Metrics metrics;
    private readonly TimeProvider clock;
    private readonly Watchers watchers = new();
    private Task ending = Task.CompletedTask;

    public OperationGrain(IGrainStorage storage, OperationNumbers numbers, Settings settings, Metrics metrics, TimeProvider clock)
    {
        state = new(this, storage, OperationState.Name) { BeginsElsewhere = true };
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

        var (_, operationId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        if (await CreateAgainAsync(request) is { } again)
        {
            metrics.OperationCreated(again);
            return again;
        }

        if (state.CanWriteWith && await User(request.UserId).CreateAsync(operationId, request) is { } created)
        {
            if (created is OperationOutcome.Done)
            {
                // Most operations are not asked about for a while. Thousands a second that live on for their age would make
                // every garbage collection long.
                DeactivateOnIdle();
            }

            return created;
        }

        var outcome = await CreateFirstAsync(operationId, request);
        metrics.OperationCreated(outcome);
        return outcome;
    }

    public async Task<OperationOutcome?> CreateAgainAsync(CreateOperation request) => (await state.ReadAsync())?.CreateAgain(request);

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
        // One look at the clock: a deadline that passes in between must not pass by a decision that is on its way.
        var current = await ReadAsync();
        var now = clock.GetUtcNow();
        if (current?.IsExpired(now) is true)
        {
            // A decision that came in time may be on its way to the database still: nobody is told "expired" before it
            // is known whether it arrived.
            await ending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            current = await ReadAsync();
        }

        return current?.ToOperation(now);
    }

    public async Task<ListedOperation> ListedAsync() => new(await GetAsync(), IsSettled: ending.IsCompleted);

    public async Task<bool> RemoveAsync()
    {
        if (settings.Operations.Retention is not { } retention || await state.ReadAsync() is not { } current)
        {
            return true;
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
        return true;
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
            ending = WriteEndAsync(next);
            await ending;
            watchers.Tell(this.GetGrainId());
            await User(next.UserId).ForgetAsync(next.OperationId);
        }

        return outcome;
    }

    private async Task WriteEndAsync(OperationState next)
    {
        // Before anybody can see the end, whatever crashes in between: the list shows nothing that is over.
        await User(next.UserId).ChangingAsync();
        await state.WriteAsync(next);
    }

    private async Task<OperationOutcome> CreateFirstAsync(string operationId, CreateOperation request)
    {
        // The user's record is written before this row: an operation that exists is on its user's list, whatever crashes in between.
        if (!await User(request.UserId).TrackAsync(operationId))
        {
            return OperationOutcome.PendingLimitReached;
        }

        var number = await numbers.NextAsync();
        if (state.Current is { } meanwhile)
        {
            // A call that interleaved has read a row that somebody else has written since: with its version this write would replace it.
            return meanwhile.CreateAgain(request);
        }

        await state.WriteAsync(OperationState.Create(operationId, request, number, settings.Silo.Name, clock.GetUtcNow(), settings.Operations.Lifetime));
        await User(request.UserId).ChangedAsync();
        return OperationOutcome.Done;
    }

    private ITrackingGrain User(string userId)
    {
        var (customer, _) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        return GrainFactory.GetUser<ITrackingGrain>(customer, userId);
    }
}

/// <summary>What its user's grain asks of an operation that may exist already.</summary>
[GrainInterfaceType("recognize.existing-operation")]
internal interface IExistingOperationGrain : IGrainWithStringKey
{
    /// <summary>What a create is told when the operation exists; null when it does not.</summary>
    // A create that came to the operation first waits for its user meanwhile.
    [AlwaysInterleave]
    [Alias("create-again")]
    Task<OperationOutcome?> CreateAgainAsync(CreateOperation request);

    /// <summary>What <see cref="IOperationGrain.GetAsync"/> returns, and whether it will stay so until <see cref="ITrackingGrain.ChangingAsync"/> or its deadline.</summary>
    [AlwaysInterleave]
    [Alias("listed")]
    Task<ListedOperation> ListedAsync();
}

/// <param name="Operation">The operation as it stands; null when it does not exist.</param>
/// <param name="IsSettled">False while its end is being written.</param>
[GenerateSerializer, Immutable, Alias("recognize.listed-operation")]
internal readonly record struct ListedOperation([property: Id(0)] Operation? Operation, [property: Id(1)] bool IsSettled);
