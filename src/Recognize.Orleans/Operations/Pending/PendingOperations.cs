using System.Collections.Immutable;
using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// The pending operations that a user's grain caches between two refreshes, and the rules for when the cache may be
/// served. The rows are the truth; everything here can be lost.
/// </summary>
/// <param name="freshness">How long a refresh stays fresh.</param>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes of UTF-8 that their payloads may have in total.</param>
internal sealed class PendingOperations(Freshness freshness, int mostOperations, long mostBytes)
{
    private readonly PendingLimits limits = new(mostOperations, mostBytes);

    // Operations whose end was announced but whose write is not answered yet, with the time of the announcement.
    private readonly Dictionary<string, long> ending = new(StringComparer.Ordinal);

    // Operations that ended before their create was answered.
    private readonly HashSet<string> endedEarly = new(StringComparer.Ordinal);
    private int createsInFlight;
    private long? lastUnknownOutcome;

    private List<Operation>? cached;
    private PendingSnapshot? snapshot;
    private long? refreshed;
    private long read;
    private Refresh? running;
    private TaskCompletionSource? nextReleased;

    // The version outlives the cached list: a list that is read again and has not changed keeps its version.
    private long version = Random.Shared.NextInt64();
    private ImmutableArray<long> versionNumbers = [];

    /// <summary>
    /// Whether the cached list may be served: the last refresh is fresh, and nothing is in flight that could change a
    /// row without our knowledge.
    /// </summary>
    public bool MayBeServed => HasList && createsInFlight == 0 && IsSettled && freshness.IsFresh(refreshed!.Value);

    /// <summary>Whether a list is cached, fresh or stale. A pending operation never changes except by ending.</summary>
    public bool HasList => cached is not null;

    /// <summary>Whether a refresh has completed.</summary>
    public bool HasRefreshed => refreshed is not null;

    /// <summary>Whether there was no refresh yet, or the last one is too stale to refuse a create by.</summary>
    public bool IsStale => refreshed is not { } time || !freshness.IsFresh(time);

    /// <summary>
    /// Whether a create needs a refresh before the limits are checked. Up to half of the limits a stale count is
    /// enough: even if a second activation exists, both together stay within them.
    /// </summary>
    public bool IsCountStale => !HasRefreshed || (limits.IsHalfUsed && IsStale);

    /// <inheritdoc cref="PendingLimits.IsLong"/>
    public bool IsLong => limits.IsLong;

    /// <inheritdoc cref="PendingLimits.Excess"/>
    public OperationOutcome? Excess => limits.Excess;

    /// <inheritdoc cref="PendingLimits.HasReservations"/>
    public bool HasReservations => limits.HasReservations;

    /// <summary>Whether nothing is pending and nothing is in flight.</summary>
    public bool IsEmpty => limits.IsEmpty && createsInFlight == 0 && running is null && IsSettled;

    /// <summary>Whether the rows show everything that is known here, except for creates in flight.</summary>
    public bool IsSettled => !IsEnding() && !freshness.IsOutcomeUnknown(lastUnknownOutcome);

    /// <summary>Completes when the next create releases its reservation, or turns it into an operation.</summary>
    public Task NextReleased => (nextReleased ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Makes a reservation under the limits for a create, unless the id is already counted.</summary>
    /// <param name="id">The id of the operation to create.</param>
    /// <param name="payload">Its payload.</param>
    /// <returns>Null, or the outcome of the create when it would exceed a limit.</returns>
    public OperationOutcome? Reserve(string id, string? payload) => limits.Reserve(id, payload);

    /// <inheritdoc cref="PendingLimits.Release"/>
    public void Release(string id)
    {
        limits.Release(id);
        TellReleased();
    }

    /// <summary>A create is about to be sent: from here on its row may exist.</summary>
    public void CreateSent() => createsInFlight++;

    /// <summary>A create is durable.</summary>
    public void CreateSucceeded(Operation operation)
    {
        var id = operation.OperationId;
        var hasEnded = endedEarly.Contains(id);
        CreateAnswered();
        limits.Settle(id);
        TellReleased();
        if (hasEnded)
        {
            limits.Remove(id);
            return;
        }

        limits.Add(operation);
        running?.Created.Add(operation);
        snapshot = null;
        if (IsLong && !freshness.IsFresh(read))
        {
            cached = null;
        }
        else if (cached is not null)
        {
            Insert(cached, operation);
        }
    }

    /// <summary>A create was refused: it certainly inserted nothing.</summary>
    public void CreateRefused(string id)
    {
        CreateAnswered();
        Release(id);
    }

    /// <summary>A create got no answer: its row may exist, or may still appear.</summary>
    public void CreateOutcomeUnknown(string id)
    {
        lastUnknownOutcome = freshness.Now;
        if (!endedEarly.Contains(id))
        {
            limits.SetOutcomeUnknown(id);
        }

        CreateAnswered();
        Release(id);
    }

    /// <summary>The end of an operation is about to be written.</summary>
    public void Ending(string id) => ending[id] = freshness.Now;

    /// <summary>The end of an operation is durable.</summary>
    public void Ended(string id)
    {
        ending.Remove(id);
        var number = limits.End(id);
        running?.Ended.Add(id);
        running?.EndedNumbers.Add(number);
        if (limits.IsReserved(id))
        {
            endedEarly.Add(id);
        }

        if (cached?.RemoveAll(operation => operation.OperationId == id) > 0)
        {
            snapshot = null;
        }
    }

    /// <summary>
    /// A row exists that was not known here. Drops the cached list; the result of a refresh in flight is not cached.
    /// </summary>
    public void Invalidate()
    {
        (cached, snapshot) = (null, null);
        running?.IsInvalid = true;
    }

    /// <summary>Drops the cached list when its rows are stale. What counts against the limits stays.</summary>
    /// <returns>Whether no list is cached now.</returns>
    public bool DropStale()
    {
        if (!freshness.IsFresh(read))
        {
            (cached, snapshot) = (null, null);
        }

        return cached is null;
    }

    /// <summary>Removes operations whose deadline is reached from the list and from the counts.</summary>
    public void DropOverdue(DateTimeOffset now)
    {
        limits.DropOverdue(now);
        if (cached?.RemoveAll(operation => operation.ExpiresAt <= now) > 0)
        {
            snapshot = null;
        }
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
        var left = numbers.Concat(refresh.Created.Select(operation => operation.Id)).Except(refresh.EndedNumbers).ToHashSet();
        if (refresh.IsInvalid || limits.IdsOf(left, now) is not { } found)
        {
            return false;
        }

        Take(refresh, found);
        if (cached?.RemoveAll(operation => !left.Contains(operation.Id)) > 0)
        {
            snapshot = null;
        }

        return true;
    }

    /// <summary>Ends a refresh that has read the rows.</summary>
    /// <param name="refresh">The refresh.</param>
    /// <param name="rows">The user's operations whose rows are pending.</param>
    /// <returns>The list, with what was created and without what ended since the refresh began.</returns>
    public PendingSnapshot EndRefresh(Refresh refresh, IEnumerable<Operation> rows)
    {
        var found = rows.Where(operation => !refresh.Ended.Contains(operation.OperationId)).ToList();
        foreach (var operation in refresh.Created.Where(operation => !refresh.Ended.Contains(operation.OperationId)))
        {
            Insert(found, operation);
        }

        Take(refresh, []);
        found.ForEach(limits.Add);
        (cached, read, snapshot) = (found, refresh.Begun, null);
        var list = Snapshot();
        (cached, snapshot) = refresh.IsInvalid ? (null, null) : (cached, snapshot);
        return list;
    }

    /// <summary>The cached list, in the order of creation.</summary>
    public PendingSnapshot Snapshot()
    {
        if (snapshot is null)
        {
            var numbers = cached!.Select(operation => operation.Id);
            if (!numbers.SequenceEqual(versionNumbers))
            {
                (version, versionNumbers) = (version + 1, [.. numbers]);
            }

            snapshot = new() { Version = version, Operations = [.. cached!] };
        }

        return snapshot;
    }

    // Searches from the end, because the operation is almost always the newest.
    private static void Insert(List<Operation> operations, Operation operation)
    {
        var index = operations.Count;
        while (index > 0 && IsBefore(operation, operations[index - 1]))
        {
            index--;
        }

        if (index == 0 || operations[index - 1].Id != operation.Id)
        {
            operations.Insert(index, operation);
        }
    }

    private static bool IsBefore(Operation one, Operation other) =>
        one.CreatedAt != other.CreatedAt ? one.CreatedAt < other.CreatedAt : one.Id < other.Id;

    // When a write of unknown outcome can no longer take effect, a refresh that begins then settles its outcome.
    private void Take(Refresh refresh, HashSet<string> found)
    {
        (running, refreshed) = (null, refresh.Begun);
        limits.KeepOnly(found, settlesOutcomes: !freshness.WasOutcomeUnknownAt(lastUnknownOutcome, refresh.Begun));
    }

    private void CreateAnswered()
    {
        createsInFlight--;
        if (createsInFlight == 0)
        {
            endedEarly.Clear();
        }
    }

    private void TellReleased()
    {
        nextReleased?.SetResult();
        nextReleased = null;
    }

    // The message that an end was written can be lost with a silo, and is never sent when the write failed.
    // So an announced end counts as in flight only for a limited time.
    private bool IsEnding()
    {
        if (ending.Count > 0)
        {
            foreach (var id in ending.Where(end => !freshness.IsInFlight(end.Value)).Select(end => end.Key).ToList())
            {
                ending.Remove(id);
            }
        }

        return ending.Count > 0;
    }

    /// <summary>A refresh in flight.</summary>
    public sealed class Refresh(long begun)
    {
        public long Begun => begun;

        /// <summary>Created since the refresh began: the row may have been inserted too late for it.</summary>
        public List<Operation> Created { get; } = [];

        /// <summary>Ended since the refresh began: it may still have read the row as pending.</summary>
        public HashSet<string> Ended { get; } = new(StringComparer.Ordinal);

        public List<long> EndedNumbers { get; } = [];

        public bool IsInvalid { get; set; }
    }
}
