using Recognize.Orleans.Hosting;

namespace Recognize.Orleans.Operations;

[GrainType("recognize.operation")]
// An operation is busy for a moment and then read now and then. A short age keeps idle ones from filling the memory.
[CollectionAgeLimit(Minutes = 2)]
internal sealed class OperationGrain(
    [PersistentState("operation")] IPersistentState<OperationState> storage,
    OperationNumbers numbers,
    Settings settings,
    Metrics metrics,
    TimeProvider clock) : Grain, IOperationGrain
{
    // What reads and rules look at: only ever what is durable. The storage's own State may be ahead of the database.
    private OperationState? current;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        current = storage.RecordExists ? storage.State : null;
        return Task.CompletedTask;
    }

    public async Task<OperationOutcome> CreateAsync(CreateOperation request)
    {
        if (OperationLimits.FaultIn(request) is { } fault)
        {
            throw new ArgumentException(fault, nameof(request));
        }

        var outcome = current?.CreateAgain(request) ?? await CreateFirstAsync(request);
        metrics.OperationCreated(outcome);
        return outcome;
    }

    public async Task<OperationOutcome> DecideAsync(Decision decision)
    {
        if (current is null)
        {
            metrics.OperationDecided(decision.Verdict, OperationOutcome.NotFound);
            return OperationOutcome.NotFound;
        }

        var (outcome, next) = current.Decide(decision, clock.GetUtcNow());
        if (next != current)
        {
            await SaveAsync(next);
            await User(next.UserId).ForgetAsync(next.OperationId);
        }

        metrics.OperationDecided(decision.Verdict, outcome);
        return outcome;
    }

    public Task<Operation?> GetAsync() => Task.FromResult(current?.ToOperation());

    private async Task<OperationOutcome> CreateFirstAsync(CreateOperation request)
    {
        var (_, operationId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());

        // The user's record comes first: an operation that exists is on its user's list, whatever crashes in between.
        if (await User(request.UserId).TrackAsync(operationId) is TrackOutcome.LimitReached)
        {
            return OperationOutcome.PendingLimitReached;
        }

        var id = await numbers.NextAsync();
        await SaveAsync(OperationState.Create(operationId, request, id, settings.Silo.Name, clock.GetUtcNow()));
        return OperationOutcome.Done;
    }

    private IUserGrain User(string userId)
    {
        var (customer, _) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        return GrainFactory.GetUser(customer, userId);
    }

    private async Task SaveAsync(OperationState next)
    {
        storage.State = next;
        try
        {
            await storage.WriteStateAsync();
            current = next;
        }
        catch
        {
            // A failed write may still have reached the database, so memory can no longer be trusted:
            // drop the activation and let the next call read the stored truth.
            DeactivateOnIdle();
            throw;
        }
    }
}
