using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// The pending operations that a user's grain caches between two refreshes, and the rules for when the cache may be
/// served. The rows are the truth; everything here can be lost.
/// </summary>
/// <param name="freshness">How long a refresh stays fresh.</param>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes that the list of them may have as it is sent.</param>
internal sealed class PendingOperations(Freshness freshness, int mostOperations, int mostBytes)
{
    private readonly PendingList list = new();
    private readonly PendingReservations reservations = new();
    private readonly PendingWrites writes = new(freshness);
    private long? refreshed;
    private Refresh? running;

    /// <summary>
    /// Whether the cached list may be served: the last refresh is fresh, and nothing is in flight that could change a
    /// row without our knowledge.
    /// </summary>
    public bool MayBeServed => HasList && !HasReservations && IsSettled && !IsStale;

    /// <summary>Whether a list is cached, fresh or stale. A pending operation never changes except by ending.</summary>
    public bool HasList => list.IsCached;

    /// <summary>Whether a refresh has completed.</summary>
    public bool HasRefreshed => refreshed is not null;

    /// <summary>Whether there was no refresh yet, or the last one is too stale to refuse a create by.</summary>
    public bool IsStale => refreshed is not { } time || !freshness.IsFresh(time);

    /// <inheritdoc cref="PendingList.IsLong"/>
    public bool IsLong => list.IsLong;

    /// <summary>Whether creates hold reservations that they may still release.</summary>
    public bool HasReservations => reservations.AnyInFlight;

    /// <inheritdoc cref="PendingReservations.NextReleased"/>
    public Task NextReleased => reservations.NextReleased;

    /// <summary>Whether nothing is pending and nothing is in flight.</summary>
    public bool IsEmpty => list.Count == 0 && reservations.IsEmpty && running is null && IsSettled;

    /// <summary>Whether the rows show everything that is known here, except for creates in flight.</summary>
    public bool IsSettled => !writes.Any;

    /// <summary>
    /// Whether a create needs a refresh before the limits are checked. Up to half of the limits a stale count is
    /// enough: even if a second activation exists, both together stay within them.
    /// </summary>
    public bool IsCountStaleFor(string id, int size)
    {
        var (count, bytes) = UsedWith(id, size);
        return !HasRefreshed || (IsStale && (count > mostOperations / 2 || bytes > mostBytes / 2));
    }

    /// <summary>Makes a reservation for a create.</summary>
    /// <param name="id">The id of the operation to create. What is pending already takes no more room.</param>
    /// <param name="size">Its bytes on the list.</param>
    /// <param name="now">The time: what is overdue by then takes no room.</param>
    /// <returns>Null, or the outcome of the create when it would exceed a limit.</returns>
    public OperationOutcome? Reserve(string id, int size, DateTimeOffset now)
    {
        if (!list.Has(id) && ExcessWith(id, size) is not null)
        {
            list.RemoveOverdue(now);
            if (ExcessWith(id, size) is { } excess)
            {
                return excess;
            }
        }

        reservations.Add(id, size);
        return null;
    }

    /// <inheritdoc cref="PendingReservations.Release"/>
    public void Release(string id) => reservations.Release(id);

    /// <summary>A create is durable.</summary>
    public void CreateSucceeded(Operation operation)
    {
        if (reservations.Succeed(operation.OperationId))
        {
            running?.Created.Add(operation);
            list.Add(operation);
        }
    }

    /// <summary>A create got no answer: its row may exist, or may still appear.</summary>
    public void CreateOutcomeUnknown(string id)
    {
        writes.LoseOutcome();
        reservations.LoseOutcome(id);
    }

    /// <inheritdoc cref="PendingWrites.Ending"/>
    public void Ending(string id) => writes.Ending(id);

    /// <summary>What was announced is durable, or is not written.</summary>
    public void Ended(string id, bool hasEnded = true)
    {
        writes.Ended(id);
        if (!hasEnded)
        {
            return;
        }

        reservations.End(id);
        list.Remove(id);
        running?.Ended.Add(id);
    }

    /// <summary>
    /// A row exists that was not known here. Drops the cached list; the result of a refresh in flight is not cached.
    /// </summary>
    public void Invalidate()
    {
        list.Drop();
        running?.IsInvalid = true;
    }

    /// <summary>Drops the cached list when its rows are stale. What counts against the limits stays.</summary>
    /// <returns>Whether no list is cached now.</returns>
    public bool DropStale()
    {
        if (!freshness.IsFresh(list.ReadAt))
        {
            list.Drop();
        }

        return !HasList;
    }

    /// <summary>Begins a refresh. Only one is in flight: a new one replaces the one before.</summary>
    public Refresh BeginRefresh() => running = new(freshness.Now);

    /// <summary>The refresh in flight failed.</summary>
    public void AbandonRefresh() => running = null;

    /// <summary>
    /// Ends a refresh that has read only the numbers of the pending rows. A pending operation never changes except by
    /// ending, so the numbers are enough when all of them are known.
    /// </summary>
    /// <param name="refresh">The refresh.</param>
    /// <param name="numbers">The numbers of the user's operations whose rows are pending.</param>
    /// <param name="now">
    /// The time. An operation whose deadline is reached must be read, so that its end is written.
    /// </param>
    /// <returns>False when the rows must be read, by another refresh.</returns>
    public bool TryEndRefresh(Refresh refresh, IReadOnlyList<long> numbers, DateTimeOffset now)
    {
        if (refresh.IsInvalid || !list.HasAll(numbers, now))
        {
            return false;
        }

        list.KeepOnly(numbers.Concat(refresh.Created.Select(operation => operation.Id)).ToHashSet());
        Complete(refresh);
        return true;
    }

    /// <summary>Ends a refresh that has read the rows.</summary>
    /// <param name="refresh">The refresh.</param>
    /// <param name="rows">The user's operations whose rows are pending.</param>
    /// <returns>The list, with what was created and without what ended since the refresh began.</returns>
    public PendingSnapshot EndRefresh(Refresh refresh, IEnumerable<Operation> rows)
    {
        list.Replace(rows.Concat(refresh.Created).Where(operation => !refresh.Ended.Contains(operation.OperationId)), refresh.Begun);
        Complete(refresh);
        var snapshot = list.Snapshot();
        if (refresh.IsInvalid)
        {
            list.Drop();
        }

        return snapshot;
    }

    /// <summary>The cached list without what is overdue, in the order of creation.</summary>
    public PendingSnapshot Snapshot(DateTimeOffset now)
    {
        list.RemoveOverdue(now);
        return list.Snapshot();
    }

    private OperationOutcome? ExcessWith(string id, int size)
    {
        var (count, bytes) = UsedWith(id, size);
        return count > mostOperations ? OperationOutcome.PendingLimitReached
            : bytes > mostBytes ? OperationOutcome.PendingBytesReached
            : null;
    }

    // What the limits count if one more operation is created.
    private (int Count, int Bytes) UsedWith(string id, int size)
    {
        var (count, bytes) = (list.Count + 1, list.Bytes + size);
        foreach (var other in reservations.All)
        {
            if (other.Id != id && !list.Has(other.Id))
            {
                (count, bytes) = (count + 1, bytes + other.Size);
            }
        }

        return (count, bytes);
    }

    private void Complete(Refresh refresh)
    {
        (running, refreshed) = (null, refresh.Begun);

        // What a refresh has not found that began when a create of unknown outcome could no longer take effect, is not there.
        if (!writes.WasOutcomeUnknownAt(refresh.Begun))
        {
            reservations.Settle();
        }
    }

    /// <summary>A refresh in flight.</summary>
    public sealed class Refresh(long begun)
    {
        public long Begun => begun;

        /// <summary>Created since the refresh began: the row may have been inserted too late for it.</summary>
        public List<Operation> Created { get; } = [];

        /// <summary>Ended since the refresh began: it may still have read the row as pending.</summary>
        public HashSet<string> Ended { get; } = new(StringComparer.Ordinal);

        public bool IsInvalid { get; set; }
    }
}
