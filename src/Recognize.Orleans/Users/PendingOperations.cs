using System.Collections.Immutable;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Users;

/// <summary>
/// What a user's grain caches of the user's pending operations between two refreshes, and the rules for when that may be told.
/// The rows are what is true; everything here can be lost.
/// </summary>
/// <param name="freshness">How long a refresh is good for.</param>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes of UTF-8 that their payloads may have together.</param>
internal sealed class PendingOperations(Freshness freshness, int mostOperations, long mostBytes)
{
    private readonly PendingLimits limits = new(mostOperations, mostBytes);

    // When the end of each operation was announced whose write has not been answered.
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

    // A version outlives what is cached: a list that is read again and has not changed has the same.
    private long version = Random.Shared.NextInt64();
    private ImmutableArray<long> versionNumbers = [];

    /// <summary>Whether the list may be told from memory: refreshed recently, and nothing in flight that could change a row without our knowledge.</summary>
    public bool IsFresh => HasList && createsInFlight == 0 && IsSettled && freshness.IsFresh(refreshed!.Value);

    /// <summary>Whether the operations are at hand, however old the last refresh is: they never change but by their end.</summary>
    public bool HasList => cached is not null;

    /// <summary>Whether there was a refresh.</summary>
    public bool HasRefreshed => refreshed is not null;

    /// <summary>Whether there was no refresh, or one that is too old to refuse a create by.</summary>
    public bool IsStale => refreshed is not { } time || !freshness.IsFresh(time);

    /// <summary>
    /// Whether the limits need a refresh before a create. Up to half of them an old count is enough: if a second activation exists, both together stay below them.
    /// </summary>
    public bool IsCountStale => !HasRefreshed || (limits.IsHalfUsed && IsStale);

    /// <inheritdoc cref="PendingLimits.IsLong"/>
    public bool IsLong => limits.IsLong;

    /// <inheritdoc cref="PendingLimits.Excess"/>
    public OperationOutcome? Excess => limits.Excess;

    /// <inheritdoc cref="PendingLimits.HasReservations"/>
    public bool HasReservations => limits.HasReservations;

    /// <summary>Whether nothing is pending, and nothing in flight.</summary>
    public bool IsEmpty => limits.IsEmpty && createsInFlight == 0 && running is null && IsSettled;

    /// <summary>Whether the rows tell all that is known here, but for creates in flight.</summary>
    public bool IsSettled => !IsEnding() && !freshness.IsOutcomeUnknown(lastUnknownOutcome);

    /// <summary>Completes when the next create gives its reservation back, or keeps it.</summary>
    public Task NextReleased => (nextReleased ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Reserves room under the limits for a create, unless the id has it already.</summary>
    /// <param name="id">The operation that is to be created.</param>
    /// <param name="payload">Its payload.</param>
    /// <returns>Null, or the outcome of the create: the user has as much pending as may be.</returns>
    public OperationOutcome? Reserve(string id, string? payload) => limits.Reserve(id, payload);

    /// <inheritdoc cref="PendingLimits.Release"/>
    public void Release(string id)
    {
        limits.Release(id);
        TellReleased();
    }

    /// <summary>A create's statement is about to be sent: from here on its row may be there.</summary>
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

    /// <summary>A create was refused: it has created nothing, for certain.</summary>
    public void CreateRefused(string id)
    {
        CreateAnswered();
        Release(id);
    }

    /// <summary>A create got no answer: its row may be there, or still appear.</summary>
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

    /// <summary>An operation's end is about to be written.</summary>
    public void Ending(string id) => ending[id] = freshness.Now;

    /// <summary>An operation's end is durable.</summary>
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

    /// <summary>A row exists that was not known. The list is dropped, and so is what the refresh in flight finds.</summary>
    public void Invalidate()
    {
        (cached, snapshot) = (null, null);
        running?.IsInvalid = true;
    }

    /// <summary>Drops a list whose rows were read some time ago, but for what counts against the limits.</summary>
    /// <returns>Whether there is none now.</returns>
    public bool DropStale()
    {
        if (!freshness.IsFresh(read))
        {
            (cached, snapshot) = (null, null);
        }

        return cached is null;
    }

    /// <summary>Takes operations whose deadline has come off the list, and gives back their room.</summary>
    public void DropOverdue(DateTimeOffset now)
    {
        limits.DropOverdue(now);
        if (cached?.RemoveAll(operation => operation.ExpiresAt <= now) > 0)
        {
            snapshot = null;
        }
    }

    /// <summary>A refresh begins. One at a time; one that begins again drops the one before.</summary>
    public Refresh BeginRefresh() => running = new(freshness.Now);

    /// <summary>The refresh in flight has failed.</summary>
    public void AbandonRefresh() => running = null;

    /// <summary>
    /// Ends a refresh that has read the numbers of pending rows alone. What is pending never changes but by its end, so that the numbers are enough
    /// when all of them are known.
    /// </summary>
    /// <param name="refresh">The refresh.</param>
    /// <param name="numbers">Those of the user's operations whose rows are pending.</param>
    /// <param name="now">What has come to its deadline must be read, so that its end is written.</param>
    /// <returns>False: the rows must be read, by another refresh.</returns>
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
    /// <returns>The list, with what was created and without what has ended since the refresh began.</returns>
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

    /// <summary>What is cached, in the order of creation.</summary>
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

    // Almost always the newest.
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

    // A refresh that began when the last statement of unknown outcome could not be done any more tells what became of it.
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

    // The word that an end was written can be lost with a silo, and never comes when the write failed.
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

        /// <summary>What was created since: its row may have come too late for this refresh.</summary>
        public List<Operation> Created { get; } = [];

        /// <summary>What has ended since: its row may have been pending still.</summary>
        public HashSet<string> Ended { get; } = new(StringComparer.Ordinal);

        public List<long> EndedNumbers { get; } = [];

        public bool IsInvalid { get; set; }
    }
}

/// <summary>A user's pending operations at one moment.</summary>
[GenerateSerializer, Immutable, Alias("recognize.pending-snapshot")]
internal sealed record PendingSnapshot
{
    // A list of this many characters is one that thousands may have without anybody's noticing.
    private const int LargestSmall = 16_384;

    /// <summary>Names this content. Drawn at random by each activation and counted up from there, so that no two contents of a user share one.</summary>
    [Id(0)]
    public required long Version { get; init; }

    /// <summary>The operations, the oldest first; null: left out, because the caller has this version, or did not ask for a large list.</summary>
    [Id(1)]
    public ImmutableArray<Operation>? Operations { get; init; }

    /// <summary>Whether the list is so long that each copy of it counts.</summary>
    public bool IsLarge => Operations is { } operations && operations.Sum(LengthOf) > LargestSmall;

    private static int LengthOf(Operation operation) => operation.OperationId.Length + (operation.Payload?.Length ?? 0) + (operation.ExternalUserId?.Length ?? 0);
}
