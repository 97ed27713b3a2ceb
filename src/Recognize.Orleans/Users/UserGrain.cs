using System.Collections.Immutable;
using Orleans.Storage;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Users;

[GrainType("recognize.user")]
// A user is asked something now and then; reading the record again costs less than keeping it for Orleans' quarter of an hour.
[CollectionAgeLimit(Minutes = 2)]
internal sealed class UserGrain : Grain, IUserGrain, ITrackingGrain, IWatchedGrain
{
    // It may be behind the database by ids that were dropped since, which need no write of their own: their operations say the same.
    private readonly StoredState<UserState> state;
    private readonly Settings settings;
    private readonly TimeProvider clock;
    private readonly Watchers watchers = new();

    public UserGrain(IGrainStorage storage, Settings settings, TimeProvider clock)
    {
        state = new(this, storage, "user");
        this.settings = settings;
        this.clock = clock;
    }

    public async Task<TrackOutcome> TrackAsync(string operationId, FirstRow row)
    {
        var current = await CurrentAsync();
        if (current.Pending.Length >= settings.Operations.PendingLimit && !current.Tracks(operationId))
        {
            // Only what is really pending counts; the record may hold more.
            await ReadPendingAsync();
            current = await CurrentAsync();
            if (current.Pending.Length >= settings.Operations.PendingLimit)
            {
                return TrackOutcome.LimitReached;
            }
        }

        var next = current.Track(operationId, clock.GetUtcNow());
        if (state.CanWriteWith)
        {
            if (!await state.WriteWithAsync(next, row))
            {
                return TrackOutcome.Exists;
            }

            watchers.Tell(this.GetGrainId());
            return TrackOutcome.Created;
        }

        if (next != current)
        {
            await state.WriteAsync(next);
        }

        return TrackOutcome.Tracked;
    }

    public async Task ForgetAsync(string operationId)
    {
        state.Keep((await CurrentAsync()).Forget(operationId));
        watchers.Tell(this.GetGrainId());
    }

    public Task ChangedAsync()
    {
        watchers.Tell(this.GetGrainId());
        return Task.CompletedTask;
    }

    public Task WatchAsync(IChangeObserver observer)
    {
        watchers.Add(observer);
        return Task.CompletedTask;
    }

    // Whoever waits on asks the next activation.
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => ChangedAsync();

    // In the order of the record, which is that of the creates; the operations' times come from several clocks.
    public async Task<ImmutableArray<Operation>> ListPendingAsync() => [.. await ReadPendingAsync()];

    private async ValueTask<UserState> CurrentAsync() => await state.ReadAsync() ?? new();

    // Asks every operation on the record and drops the ids that are over. May run while a write is on its way.
    private async Task<List<Operation>> ReadPendingAsync()
    {
        var (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var tracked = (await CurrentAsync()).Pending;

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

        if (over.Count > 0)
        {
            state.Keep((await CurrentAsync()).Drop(over));
        }

        return pending;
    }
}
