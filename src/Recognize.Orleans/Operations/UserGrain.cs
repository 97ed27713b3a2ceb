using System.Collections.Immutable;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime.Placement;
using Orleans.Storage;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations.Pending;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

[GrainType("recognize.user")]
// A user is asked something occasionally. Reading the rows again costs less than keeping them for Orleans' default of
// 15 minutes.
[CollectionAgeLimit(Minutes = 2)]
// Creates of one user share a commit, and operations call back into the user's grain while it calls them.
[Reentrant]
// On the silo of the front end that asks first. Where the load balancer sends a user to one silo, all calls come from
// there.
[PreferLocalPlacement]
internal sealed class UserGrain : WatchedGrain, IUserGrain, IOperationOwnerGrain, IPendingListGrain, IIncomingGrainCallFilter
{
    // A user has rarely more to decide. What is not known here is read.
    private const int MostCreated = 10;

    private readonly IGrainStorage storage;
    private readonly OperationNumbers numbers;
    private readonly OperationSettings settings;
    private readonly string nodeName;
    private readonly TimeProvider clock;
    private readonly OperationMetrics metrics;
    private readonly UserMigration migration;
    private readonly PendingOperations pending;
    private readonly PendingRefresh refresh;
    private readonly UserHistory history;
    private readonly UserKey user;
    private readonly Dictionary<string, OperationState> created = new(StringComparer.Ordinal);
    private OperationState? latest;
    private IGrainTimer? dropping;
    private UserMigration.Streak streak;

    public UserGrain(
        IGrainStorage storage,
        OperationHistory rows,
        OperationNumbers numbers,
        Freshness freshness,
        UserMigration migration,
        OperationSettings settings,
        SiloSettings silo,
        OperationMetrics metrics,
        TimeProvider clock)
    {
        this.storage = storage;
        this.numbers = numbers;
        this.migration = migration;
        this.settings = settings;
        nodeName = silo.Name;
        this.metrics = metrics;
        this.clock = clock;
        user = UserKey.Parse(this.GetPrimaryKeyString());
        pending = new(freshness, settings.PendingLimit, settings.PendingBytes);
        refresh = new(user, pending, rows, GrainFactory, clock);
        history = new(user, rows, GrainFactory, clock);
    }

    /// <summary>Runs a call, and migrates the grain to the silo that has been its only caller for a while.</summary>
    public Task Invoke(IIncomingGrainCallContext context)
    {
        var call = context.Invoke();

        // Running calls complete here before the migration. An end in flight forbids it, because the next activation
        // knows nothing of it. So does a history page being read: it may wait for an operation that calls this user,
        // and a leaving activation takes no calls.
        if (migration.TargetAfter(context.SourceId, ref streak) is { } silo && !history.IsBeingRead && pending.IsSettled)
        {
            GrainContext.Migrate(new() { [IPlacementDirector.PlacementHintKey] = silo });
        }

        return call;
    }

    public async Task<OperationOutcome> CreateAsync(CreateOperation request)
    {
        if (OperationLimits.ErrorIn(request) is { } error)
        {
            throw new ArgumentException(error, nameof(request));
        }

        var outcome = await CreateOrReplayAsync(request);
        metrics.Created(outcome);
        DropIfNothing();
        return outcome;
    }

    public Task<OperationState?> EndingAsync(string operationId)
    {
        pending.Ending(operationId);
        return Task.FromResult(Recent(created.GetValueOrDefault(operationId)));
    }

    public Task EndedAsync(string operationId, bool hasEnded)
    {
        pending.Ended(operationId, hasEnded);
        _ = hasEnded && created.Remove(operationId);
        DropIfNothing();
        TellWatchers();
        return Task.CompletedTask;
    }

    public async Task<ImmutableArray<Operation>> ListPendingAsync() => (await SnapshotAsync()).Operations!.Value;

    public async Task<PendingSnapshot> ListUnlessAsync(long? known)
    {
        var snapshot = await SnapshotAsync();
        return snapshot.Version == known ? snapshot with { Operations = null } : snapshot;
    }

    public async Task<OperationPage> ListHistoryAsync(OperationStatus? status, string? after, int limit)
    {
        if ((OperationLimits.ErrorInLimit(limit) ?? OperationLimits.ErrorInCursor(after)) is { } error)
        {
            throw new ArgumentException(error);
        }

        try
        {
            return await history.ReadAsync(status, after, limit);
        }
        finally
        {
            DropIfNothing();
        }
    }

    private async Task<PendingSnapshot> SnapshotAsync()
    {
        var snapshot = pending.MayBeServed ? pending.Snapshot(clock.GetUtcNow()) : await refresh.ListAsync();
        DropLongList();
        DropIfNothing();
        return snapshot;
    }

    private void DropLongList()
    {
        if (pending is { IsLong: true, HasList: true })
        {
            dropping ??= this.RegisterGrainTimer(DropStaleAsync, new GrainTimerCreationOptions(Times.CacheLifetime, Times.CacheLifetime) { Interleave = true });
        }
    }

    // Reads of users that do not exist must not fill the memory. A watched activation stays: when it left, it would
    // notify its watchers, and they would ask again.
    private void DropIfNothing()
    {
        if (pending.IsEmpty && latest is null && !history.IsBeingRead && !IsWatched)
        {
            DeactivateOnIdle();
        }
    }

    // Thousands of users with large lists may have been read once and not since.
    private Task DropStaleAsync()
    {
        if (pending.DropStale())
        {
            dropping?.Dispose();
            dropping = null;
        }

        return Task.CompletedTask;
    }

    // A removed operation leaves its id, and the first version of its row, to another one.
    private OperationState? Recent(OperationState? made) => made is not null && clock.GetUtcNow() - made.CreatedAt < OperationTimes.Replay ? made : null;

    private async Task<OperationOutcome> CreateOrReplayAsync(CreateOperation request)
    {
        // A retry of a create usually comes soon after the first attempt.
        if (latest?.OperationId == request.OperationId && Recent(latest) is { } made)
        {
            return made.Replay(user.UserId, request);
        }

        // The unique index decides whether the operation is new; it is not read before.
        var refusal = await ReserveAsync(request);
        if (refusal is null && await TryCreateAsync(request))
        {
            return OperationOutcome.Done;
        }

        // A retry of a create that succeeded is replayed, however many operations are pending now. A row that refused the
        // create may have been removed since.
        var replayed = await ReplayAsync(request);
        return replayed is not OperationOutcome.NotFound ? replayed : refusal ?? OperationOutcome.Duplicate;
    }

    /// <returns>Null, or the outcome of a create that would exceed a limit.</returns>
    private async ValueTask<OperationOutcome?> ReserveAsync(CreateOperation request)
    {
        var size = SentBytes.Of(request, hasDeadline: (request.ExpiresIn ?? settings.Lifetime) is not null);
        for (var isStale = pending.IsCountStaleFor(request.OperationId, size); ; isStale = pending.IsStale)
        {
            if (isStale)
            {
                await refresh.CountAsync();
            }

            // No await since the counts were looked at, so that interleaving creates see each other's reservations.
            if (pending.Reserve(request.OperationId, size, clock.GetUtcNow()) is not { } excess)
            {
                return null;
            }

            // Nothing is refused by a stale count. Creates that hold the last reservations may turn out to be duplicates
            // and release them.
            if (isStale || !pending.IsStale)
            {
                if (!pending.HasReservations)
                {
                    return excess;
                }

                await pending.NextReleased;
            }
        }
    }

    private async Task<bool> TryCreateAsync(CreateOperation request)
    {
        long number;
        try
        {
            number = await numbers.NextAsync();
        }
        catch
        {
            pending.Release(request.OperationId);
            throw;
        }

        // The time is taken after the number, in the turn that hands the row to the storage, so that the operations
        // which one activation creates have the same order by time and by number.
        var now = clock.GetUtcNow();
        now = latest is { } last && last.CreatedAt > now ? last.CreatedAt : now;
        var first = OperationState.Create(user, request, number, nodeName, now, settings.Lifetime);
        try
        {
            await storage.WriteStateAsync(OperationState.Name, GrainFactoryExtensions.GrainIdOf(new(user.Customer, first.OperationId)), new GrainState<OperationState>(first));
        }
        catch (InconsistentStateException)
        {
            pending.Release(request.OperationId);
            return false;
        }
        catch (Exception exception) when (StorageFaults.IsRefusal(exception))
        {
            pending.Release(request.OperationId);
            throw;
        }
        catch
        {
            pending.CreateOutcomeUnknown(request.OperationId);
            throw;
        }

        pending.CreateSucceeded(first.ToOperation());
        DropLongList();
        latest = first;
        if (created.Count == MostCreated)
        {
            created.Clear();
        }

        created[first.OperationId] = first;
        TellWatchers();
        return true;
    }

    private async Task<OperationOutcome> ReplayAsync(CreateOperation request)
    {
        var outcome = await GrainFactory.GetOperation<IReplayGrain>(new(user.Customer, request.OperationId)).ReplayAsync(user.UserId, request);
        if (outcome is OperationOutcome.Done)
        {
            // Its insert may have reached the database after its outcome was unknown, so the cache may lack it.
            pending.Invalidate();
            TellWatchers();
        }

        return outcome;
    }
}
