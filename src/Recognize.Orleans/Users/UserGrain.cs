using System.Collections.Immutable;
using Recognize.Orleans.Hosting;

namespace Recognize.Orleans.Users;

[GrainType("recognize.user")]
internal sealed class UserGrain(
    [PersistentState("user")] IPersistentState<UserState> storage,
    Settings settings,
    TimeProvider clock) : Grain, IUserGrain
{
    // What reads and rules look at: never ahead of the database. It may be behind only by ids that were dropped since,
    // which need no write of their own: their operations say the same.
    private UserState current = new();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        current = storage.RecordExists ? storage.State : new();
        return Task.CompletedTask;
    }

    public async Task<TrackOutcome> TrackAsync(string operationId)
    {
        if (current.Pending.Length >= settings.Operations.PendingLimit && !current.Tracks(operationId))
        {
            // A decided operation never counts, and the record may still hold some.
            await ReadPendingAsync();
            if (current.Pending.Length >= settings.Operations.PendingLimit)
            {
                return TrackOutcome.LimitReached;
            }
        }

        var next = current.Track(operationId, clock.GetUtcNow());
        if (next != current)
        {
            await SaveAsync(next);
        }

        return TrackOutcome.Tracked;
    }

    public Task ForgetAsync(string operationId)
    {
        current = current.Forget(operationId);
        return Task.CompletedTask;
    }

    // In the order of the record, which is that of the creates; the operations' times come from several clocks.
    public async Task<ImmutableArray<Operation>> ListPendingAsync() => [.. await ReadPendingAsync()];

    // Asks every operation on the record and drops the ids that are over. May run while a write is on its way.
    private async Task<List<Operation>> ReadPendingAsync()
    {
        var (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var tracked = current.Pending;

        // Taken before the operations are asked: one that is created meanwhile must not look overdue.
        var now = clock.GetUtcNow();
        var operations = await Task.WhenAll(tracked.Select(entry => GrainFactory.GetOperation(customer, entry.Id).GetAsync()));

        var pending = new List<Operation>(tracked.Length);
        var over = new HashSet<TrackedOperation>(ReferenceEqualityComparer.Instance);
        foreach (var (entry, operation) in tracked.Zip(operations))
        {
            if (UserState.IsOver(entry, userId, operation, now))
            {
                over.Add(entry);
            }
            else if (operation is not null)
            {
                pending.Add(operation);
            }
        }

        current = current.Drop(over);
        return pending;
    }

    private async Task SaveAsync(UserState next)
    {
        storage.State = next;
        try
        {
            await storage.WriteStateAsync();
            current = next;
        }
        catch
        {
            // See OperationGrain.SaveAsync.
            DeactivateOnIdle();
            throw;
        }
    }
}
