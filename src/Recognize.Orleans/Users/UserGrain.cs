using System.Collections.Immutable;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime.Placement;
using Orleans.Storage;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Waits;

namespace Recognize.Orleans.Users;

[GrainType("recognize.user")]
// A user is asked something now and then; reading the rows again costs less than keeping them for Orleans' quarter of an hour.
[CollectionAgeLimit(Minutes = 2)]
// Creates of one user share a commit, and operations call back into the user that is asking them.
[Reentrant]
// Beside the front end that asks first. Where the balancer sends a user to one silo, that one asks always.
[PreferLocalPlacement]
internal sealed class UserGrain : Grain, IUserGrain, ITrackingGrain, IWatchedGrain, IIncomingGrainCallFilter
{
    // What a page that looks for one status reads at once, and in all: its cost is bounded, however long the history is.
    private const int HistoryBatch = 100;
    private const int MostLookedAt = 1_000;

    // How many overdue operations are written as expired at once.
    private const int MostExpired = 100;

    // Nearly every list is read at once. A longer one is read in the customer's turn and at its pace, page by page, so that others are served meanwhile.
    private const int FirstPage = 25;
    private const int NextPage = 100;

    // What a look has found must not be old when it ends.
    private static readonly TimeSpan LongestPaced = TimeSpan.FromSeconds(2);

    // An end that is younger than this may not be known to its grain yet, so the history asks the grain.
    private static readonly TimeSpan Recently = TimeSpan.FromMinutes(1);

    // Shorter than the shortest retention, so that a removed operation is never answered for from memory.
    private static readonly TimeSpan Remembered = TimeSpan.FromMinutes(10);

    private readonly IGrainStorage storage;
    private readonly OperationHistory history;
    private readonly OperationNumbers numbers;
    private readonly Settings settings;
    private readonly TimeProvider clock;
    private readonly Metrics metrics;
    private readonly CustomerShares shares;
    private readonly FrontEnds frontEnds;
    private readonly Watchers watchers = new();
    private readonly PendingOperations pending;
    private readonly SharedReads<PendingSnapshot?> looks;
    private readonly string customer;
    private readonly string userId;
    private OperationState? latest;
    private Task expiring = Task.CompletedTask;
    private IGrainTimer? dropping;
    private bool isListAsked;
    private FrontEnds.Row asking;
    private int histories;

    public UserGrain(
        IGrainStorage storage,
        OperationHistory history,
        OperationNumbers numbers,
        Trust trust,
        CustomerShares shares,
        FrontEnds frontEnds,
        Settings settings,
        Metrics metrics,
        TimeProvider clock)
    {
        this.storage = storage;
        this.history = history;
        this.numbers = numbers;
        this.shares = shares;
        this.settings = settings;
        this.metrics = metrics;
        this.frontEnds = frontEnds;
        this.clock = clock;
        pending = new(trust, settings.Operations.PendingLimit, settings.Operations.PendingBytes);
        looks = new(LookAsync);
        (customer, userId) = GrainFactoryExtensions.ParseKey(this.GetPrimaryKeyString());
    }

    /// <summary>Runs a call, and moves the grain to the silo that is alone with it.</summary>
    public Task Invoke(IIncomingGrainCallContext context)
    {
        var call = context.Invoke();

        // Calls that run end here first. The next activation knows nothing of ends on their way, and while this one leaves, no call comes in:
        // a page of the history may wait for an operation that waits for its user.
        if (frontEnds.Asked(context.SourceId, ref asking) is { } silo && histories == 0 && pending.IsSettled)
        {
            GrainContext.Migrate(new() { [IPlacementDirector.PlacementHintKey] = silo });
        }

        return call;
    }

    public async Task<OperationOutcome> CreateAsync(string operationId, CreateOperation request)
    {
        if ((request.UserId == userId ? OperationLimits.FaultIn(request) ?? OperationLimits.FaultInOperationId(operationId) : "userId must be that of the user who is asked.") is { } fault)
        {
            throw new ArgumentException(fault, nameof(request));
        }

        var outcome = await CreateOrFindAsync(operationId, request);
        metrics.OperationCreated(outcome);
        DropIfNothing();
        return outcome;
    }

    public Task EndingAsync(string operationId)
    {
        pending.Ending(operationId);
        return Task.CompletedTask;
    }

    public Task EndedAsync(string operationId)
    {
        pending.Ended(operationId);
        DropIfNothing();
        watchers.Tell(this.GetGrainId());
        return Task.CompletedTask;
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

    public async Task<ImmutableArray<Operation>> ListPendingAsync() => (await SnapshotAsync()).Operations!.Value;

    public async Task<PendingSnapshot> ListUnlessAsync(long? known, bool evenLarge)
    {
        var snapshot = await SnapshotAsync();
        return snapshot.Version == known || (snapshot.IsLarge && !evenLarge) ? snapshot with { Operations = null } : snapshot;
    }

    public async Task<OperationPage> ListHistoryAsync(OperationStatus? status, string? after, int limit)
    {
        if ((OperationLimits.FaultInLimit(limit) ?? OperationLimits.FaultInPlace(after)) is { } fault)
        {
            throw new ArgumentException(fault);
        }

        histories++;
        try
        {
            return await ReadHistoryAsync(status, after, limit);
        }
        finally
        {
            histories--;
            DropIfNothing();
        }
    }

    private async Task<OperationPage> ReadHistoryAsync(OperationStatus? status, string? after, int limit)
    {
        var page = ImmutableArray.CreateBuilder<Operation>(limit);
        var batch = status is null ? limit + 1 : HistoryBatch;
        for (var looked = 0; looked < MostLookedAt; looked += batch)
        {
            var (rows, isLast) = await ReadHistoryPageAsync(after, batch);
            var operations = await Task.WhenAll(rows.Select(row => SettledAsync(row.State)));
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

            if (isLast)
            {
                return new() { Operations = page.ToImmutable() };
            }
        }

        return new() { Operations = page.ToImmutable(), Next = after };
    }

    private async Task<HistoryPage> ReadHistoryPageAsync(string? after, int batch)
    {
        if (batch <= FirstPage)
        {
            return await history.ReadAsync(customer, userId, after, batch);
        }

        using var turn = await shares.LookAsync(customer);
        var page = await history.ReadAsync(customer, userId, after, batch);
        await shares.PaceReadAsync(customer, page.Bytes);
        return page;
    }

    private async Task<PendingSnapshot> SnapshotAsync()
    {
        pending.DropOverdue(clock.GetUtcNow());
        var snapshot = pending.IsKnown ? pending.Snapshot() : await LookForListAsync();
        DropLongList();
        DropIfNothing();
        return snapshot;
    }

    private async Task<PendingSnapshot> LookForListAsync()
    {
        isListAsked = true;
        return (await looks.AnewAsync())!;
    }

    private void DropLongList()
    {
        if (pending is { IsLong: true, HasList: true })
        {
            dropping ??= this.RegisterGrainTimer(DropOldAsync, new GrainTimerCreationOptions(Trust.Longest, Trust.Longest) { Interleave = true });
        }
    }

    // Whoever asks about users that do not exist must not fill the memory with them. What is watched stays: it would tell that it leaves, and be asked again.
    private void DropIfNothing()
    {
        if (pending.IsEmpty && latest is null && histories == 0 && !watchers.Any)
        {
            DeactivateOnIdle();
        }
    }

    // Thousands of users with large lists may have been asked about, and are not any more.
    private Task DropOldAsync()
    {
        if (pending.DropOld())
        {
            dropping?.Dispose();
            dropping = null;
        }

        return Task.CompletedTask;
    }

    private async Task<OperationOutcome> CreateOrFindAsync(string operationId, CreateOperation request)
    {
        // A create that comes twice mostly comes at once.
        if (latest is { } made && made.OperationId == operationId && clock.GetUtcNow() - made.CreatedAt < Remembered)
        {
            return made.Replay(request);
        }

        if (await ReserveAsync(operationId, request.Payload) is { } excess)
        {
            // A create that was answered before is answered alike, however many are pending now.
            return await FindAsync(operationId, request) ?? excess;
        }

        // The unique index says whether the operation is new; it is not read before.
        return await TryCreateAsync(operationId, request)
            ? OperationOutcome.Done
            : await FindAsync(operationId, request) ?? OperationOutcome.Duplicate;
    }

    private async ValueTask<OperationOutcome?> ReserveAsync(string operationId, string? payload)
    {
        while (true)
        {
            // Before the first await, so that creates that interleave see each other's places.
            var excess = pending.Reserve(operationId, payload);
            var isReserved = excess is null;
            if (isReserved && !pending.IsCountOld)
            {
                return null;
            }

            if (pending.IsCountOld || (!isReserved && pending.IsLookOld))
            {
                try
                {
                    await looks.AnewAsync();
                }
                catch when (isReserved)
                {
                    pending.Release(operationId);
                    throw;
                }
            }

            pending.DropOverdue(clock.GetUtcNow());
            excess = isReserved ? pending.Excess : pending.Reserve(operationId, payload);
            if (excess is null)
            {
                return null;
            }

            if (isReserved)
            {
                pending.Release(operationId);
            }

            if (!pending.HasPlacesOnHold)
            {
                return excess;
            }

            // Creates that hold the last places may turn out to be duplicates.
            await pending.NextSettledCreate;
        }
    }

    private async Task<bool> TryCreateAsync(string operationId, CreateOperation request)
    {
        OperationState first;
        try
        {
            var number = await numbers.NextAsync();

            // After the number, in the turn that hands the row to the storage: the operations of a user are in the order of their times and numbers.
            var now = clock.GetUtcNow();
            now = latest is { } last && last.CreatedAt > now ? last.CreatedAt : now;
            first = OperationState.Create(operationId, request, number, settings.Silo.Name, now, settings.Operations.Lifetime);
        }
        catch
        {
            pending.Release(operationId);
            throw;
        }

        pending.CreateSent();
        try
        {
            await storage.WriteStateAsync(OperationState.Name, GrainFactoryExtensions.OperationGrainId(customer, operationId), new GrainState<OperationState>(first));
        }
        catch (InconsistentStateException)
        {
            pending.CreateRefused(operationId);
            return false;
        }
        catch (Exception fault) when (StorageFaults.IsRefusal(fault))
        {
            pending.CreateRefused(operationId);
            throw;
        }
        catch
        {
            pending.CreateUnanswered(operationId);
            throw;
        }

        pending.CreateDone(first.ToOperation());
        DropLongList();
        latest = first;
        watchers.Tell(this.GetGrainId());
        return true;
    }

    // What a create of an operation that exists is told; null: it does not.
    private async Task<OperationOutcome?> FindAsync(string operationId, CreateOperation request)
    {
        var outcome = await GrainFactory.GetOperation<IReplayedOperationGrain>(customer, operationId).ReplayAsync(request);
        if (outcome is OperationOutcome.Done)
        {
            // It may have come to the database after it was given up: what is remembered does not hold it.
            pending.Forget();
            watchers.Tell(this.GetGrainId());
        }

        return outcome;
    }

    // The grain writes what is overdue, and may know of a new end later than the row: what it says is what everybody is told.
    private async Task<Operation?> SettledAsync(OperationState? state)
    {
        var now = clock.GetUtcNow();
        return state is null ? null
            : state.IsOverdue(now) || now - state.DecidedAt < Recently ? await GrainFactory.GetOperation(customer, state.OperationId).GetAsync()
            : state.ToOperation();
    }

    private async Task<PendingSnapshot?> LookAsync()
    {
        var isForList = isListAsked;
        isListAsked = false;
        try
        {
            // A long list may be dropped while the numbers are read.
            return IsEnough() && await LookAtNumbersAsync() && IsEnough()
                ? pending.HasList ? pending.Snapshot() : null
                : await LookAtRowsAsync();
        }
        catch
        {
            pending.GiveUpLook();
            throw;
        }

        bool IsEnough() => pending.HasList || !isForList;
    }

    // Mostly nothing has happened that is not known here, and rows cost more than the index.
    private async Task<bool> LookAtNumbersAsync()
    {
        if (!pending.HasLooked)
        {
            return false;
        }

        var look = pending.BeginLook();
        return pending.TryEndLook(look, await history.ReadPendingNumbersAsync(customer, userId), clock.GetUtcNow());
    }

    private async Task<PendingSnapshot> LookAtRowsAsync()
    {
        var look = pending.BeginLook();
        var page = await history.ReadPendingAsync(customer, userId, after: null, FirstPage);
        var rows = page.Rows.Select(row => row.State).OfType<OperationState>().ToList();
        if (!page.IsLast)
        {
            using var turn = await shares.LookAsync(customer);

            // What the first page has shown has grown old while others had their turns.
            look = pending.BeginLook();
            rows = await ReadPagesAsync();
        }

        var now = clock.GetUtcNow();
        if (expiring.IsCompleted)
        {
            // So that the index of what is pending stays short. Nobody waits for it.
            expiring = ExpireAsync([.. rows.Where(row => row.IsOverdue(now)).Take(MostExpired)]);
        }

        return pending.EndLook(look, rows.Where(row => !row.IsOverdue(now)).Select(row => row.ToOperation()));
    }

    private async Task<List<OperationState>> ReadPagesAsync()
    {
        var rows = new List<OperationState>();
        var begun = clock.GetTimestamp();
        string? after = null;
        while (true)
        {
            var page = await history.ReadPendingAsync(customer, userId, after, NextPage);
            rows.AddRange(page.Rows.Select(row => row.State).OfType<OperationState>());
            if (page.IsLast)
            {
                return rows;
            }

            after = page.Rows[^1].Place;
            await (clock.GetElapsedTime(begun) < LongestPaced ? shares.PaceReadAsync(customer, page.Bytes) : ValueTask.CompletedTask);
        }
    }

    private Task ExpireAsync(IReadOnlyList<OperationState> overdue) =>
        overdue.Count == 0 ? Task.CompletedTask : Task.WhenAll(overdue.Select(operation => GrainFactory.GetOperation(customer, operation.OperationId).GetAsync()));
}
