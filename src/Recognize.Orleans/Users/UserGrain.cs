using System.Collections.Immutable;
using Orleans.Storage;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Users;

[GrainType("recognize.user")]
// A user is asked something now and then; reading the record again costs less than keeping it for Orleans' quarter of an hour.
[CollectionAgeLimit(Minutes = 2)]
internal sealed class UserGrain : Grain, IUserGrain, ITrackingGrain, IWatchedGrain, IRemovableGrain
{
    // What a page that looks for one status reads at once, and in all: its cost is bounded, however long the history is.
    private const int HistoryBatch = 100;
    private const int MostLookedAt = 1_000;

    // Longer than a write can take, and shorter than anything is kept.
    private static readonly TimeSpan Recently = UserState.Grace;

    // Operations say before they change, so that their list stays true. But where a node is cut off, or both of two know of this user
    // for a moment, one may not hear of it: no longer than such a node needs to learn of it.
    private static readonly TimeSpan LongestTrust = TimeSpan.FromSeconds(5);

    // It may be behind the database by ids that were dropped since, which need no write of their own: their operations say the same.
    private readonly StoredState<UserState> state;
    private readonly OperationHistory history;
    private readonly OperationNumbers numbers;
    private readonly Settings settings;
    private readonly TimeProvider clock;
    private readonly Metrics metrics;
    private readonly Watchers watchers = new();
    private OperationState? latest;
    private PendingList? list;
    private int changes;

    public UserGrain(IGrainStorage storage, OperationHistory history, OperationNumbers numbers, Settings settings, Metrics metrics, TimeProvider clock)
    {
        state = new(this, storage, "user");
        this.history = history;
        this.numbers = numbers;
        this.settings = settings;
        this.metrics = metrics;
        this.clock = clock;
    }

    public async Task<OperationOutcome?> CreateAsync(string operationId, CreateOperation request)
    {
        if (!state.CanWriteWith)
        {
            return null;
        }

        var (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        if ((request.UserId == userId ? OperationLimits.FaultIn(request) : "userId must be that of the user who is asked.") is { } fault)
        {
            throw new ArgumentException(fault, nameof(request));
        }

        var operation = GrainFactory.GetOperation<IExistingOperationGrain>(customer, operationId);
        var outcome = await CreateAsync(customer, operation, operationId, request);
        metrics.OperationCreated(outcome);
        return outcome;
    }

    public async Task<bool> TrackAsync(string operationId)
    {
        if (!await HasRoomAsync(operationId))
        {
            return false;
        }

        var current = await CurrentAsync();
        var next = current.Track(operationId, clock.GetUtcNow());
        if (next != current)
        {
            await state.WriteAsync(next);
        }

        return true;
    }

    public Task ChangingAsync()
    {
        // What a list is asking at this moment may be of before: it must not be kept either.
        changes++;
        list = null;
        return Task.CompletedTask;
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

    public async Task<bool> RemoveAsync()
    {
        var pending = await ReadPendingAsync();
        if (state.Current is { } current)
        {
            if (!pending.IsEmpty || current.Unknown is { Count: > 0 })
            {
                return true;
            }

            if (!current.Pending.IsEmpty)
            {
                // An operation may be on its way to this id.
                return false;
            }

            await state.DeleteAsync();
            metrics.Removed("user");
        }

        DeactivateOnIdle();
        return true;
    }

    // Whoever waits on asks the next activation.
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => ChangedAsync();

    // In the order of the record, which is that of the creates; the operations' times come from several clocks.
    public async Task<ImmutableArray<Operation>> ListPendingAsync() => await ReadPendingAsync();

    public async Task<OperationPage> ListHistoryAsync(OperationStatus? status, string? after, int limit)
    {
        if ((OperationLimits.FaultInLimit(limit) ?? OperationLimits.FaultInPlace(after)) is { } fault)
        {
            throw new ArgumentException(fault);
        }

        var (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var page = ImmutableArray.CreateBuilder<Operation>(limit);
        var batch = status is null ? limit + 1 : HistoryBatch;
        for (var looked = 0; looked < MostLookedAt; looked += batch)
        {
            var rows = await history.ReadAsync(customer, userId, after, batch, CancellationToken.None);
            var operations = await Task.WhenAll(rows.Select(row => SettledAsync(customer, row.State)));
            foreach (var ((place, _), operation) in rows.Zip(operations))
            {
                if (page.Count == limit)
                {
                    return new() { Operations = page.ToImmutable(), Next = after };
                }

                after = place;
                if (operation is not null && (status is null || operation.Status == status))
                {
                    page.Add(operation);
                }
            }

            if (rows.Count < batch)
            {
                return new() { Operations = page.ToImmutable() };
            }
        }

        return new() { Operations = page.ToImmutable(), Next = after };
    }

    private async Task<OperationOutcome> CreateAsync(string customer, IExistingOperationGrain operation, string operationId, CreateOperation request)
    {
        // A create that comes twice mostly comes at once. What this grain has written itself exists for longer than that: nothing is removed within an hour.
        if (latest is { } made && made.OperationId == operationId && clock.GetUtcNow() - made.CreatedAt < Recently)
        {
            return made.CreateAgain(request);
        }

        if ((await CurrentAsync()).Tracks(operationId) && await CreateAgainAsync() is { } again)
        {
            return again;
        }

        if (!await HasRoomAsync(operationId))
        {
            // A create that was answered before is answered alike, however many are pending now.
            return await CreateAgainAsync() ?? OperationOutcome.PendingLimitReached;
        }

        // The user's record is written with this row, so that an operation that exists is on its user's list. Whether the
        // operation is new is for the unique index to say.
        var number = await numbers.NextAsync();
        var now = clock.GetUtcNow();
        var first = OperationState.Create(operationId, request, number, settings.Silo.Name, now, settings.Operations.Lifetime);
        var row = new FirstRow(OperationState.Name, operation.GetGrainId(), StateSerializer.ToBytes(first), first.HistoryKey(customer));
        if (!await state.WriteWithAsync((await CurrentAsync()).Track(operationId, now), row))
        {
            return await CreateAgainAsync() ?? OperationOutcome.Duplicate;
        }

        latest = first;
        watchers.Tell(this.GetGrainId());
        return OperationOutcome.Done;

        Task<OperationOutcome?> CreateAgainAsync() => operation.CreateAgainAsync(request);
    }

    private async ValueTask<bool> HasRoomAsync(string operationId)
    {
        if (IsRoomIn(await CurrentAsync()))
        {
            return true;
        }

        // Only what is really pending counts; the record may hold more.
        await ReadPendingAsync();
        return IsRoomIn(await CurrentAsync());

        bool IsRoomIn(UserState current) => current.Pending.Length < settings.Operations.PendingLimit || current.Tracks(operationId);
    }

    // Of an end that came a moment ago the row may know before the operation's grain does, and the grain of one that is on its way to the row:
    // what it says is what everybody is told.
    private async Task<Operation?> SettledAsync(string customer, OperationState state)
    {
        var now = clock.GetUtcNow();
        return state.EndedAt(now) is { } end && now - end < Recently
            ? await GrainFactory.GetOperation(customer, state.OperationId).GetAsync()
            : state.ToOperation(now);
    }

    private async ValueTask<UserState> CurrentAsync() => await state.ReadAsync() ?? new();

    // Asks every operation on the record, unless the last answers hold still, and drops the ids that are over. May run while a write is on its way.
    private async ValueTask<ImmutableArray<Operation>> ReadPendingAsync()
    {
        // What is being written may be durable already: an operation that somebody has seen is on the list.
        var known = await CurrentAsync();
        var tracked = (state.Attempted ?? known).Pending;

        // Taken before the operations are asked: one that is created meanwhile must not look overdue.
        var now = clock.GetUtcNow();
        if (list is { } last && last.Of == tracked && now < last.Until)
        {
            return last.Operations;
        }

        var (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
        var changesBefore = changes;
        var answers = await Task.WhenAll(tracked.Select(entry => GrainFactory.GetOperation<IExistingOperationGrain>(customer, entry.Id).ListedAsync()));

        var pending = ImmutableArray.CreateBuilder<Operation>(tracked.Length);
        var over = new HashSet<TrackedOperation>(ReferenceEqualityComparer.Instance);
        foreach (var (entry, (operation, _)) in tracked.Zip(answers))
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

        var operations = pending.DrainToImmutable();
        if (over.Count > 0)
        {
            state.Keep((await CurrentAsync()).Drop(over));
        }
        else if (operations.Length == tracked.Length && changesBefore == changes && answers.All(answer => answer.IsSettled))
        {
            list = new(tracked, operations, Wait.Earlier(now + LongestTrust, operations.Min(operation => operation.ExpiresAt)));
        }

        return operations;
    }

    /// <summary>What the operations on a record said.</summary>
    /// <param name="Of">The ids that were asked; the list of any other array is another one.</param>
    /// <param name="Operations">All of them, pending.</param>
    /// <param name="Until">When it is to be asked anew.</param>
    private sealed record PendingList(ImmutableArray<TrackedOperation> Of, ImmutableArray<Operation> Operations, DateTimeOffset Until);
}
