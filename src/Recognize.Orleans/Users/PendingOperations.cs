using System.Collections.Immutable;
using System.Text;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Users;

/// <summary>
/// What a user's grain remembers of the user's pending operations between two looks at their rows, and the rules for when that may be told.
/// The rows are what is true; everything here can be lost.
/// </summary>
/// <param name="trust">How long a look is good for.</param>
/// <param name="limit">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes of UTF-8 that their payloads may have together.</param>
internal sealed class PendingOperations(Trust trust, int limit, long mostBytes)
{
    private const int MostShort = 25;
    private const int MostShortBytes = 16_384;

    // Every operation that is pending as far as is known, those of creates on their way included. They count against the limits.
    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);

    // How many creates of an id hold its place. Their rows may appear at any time.
    private readonly Dictionary<string, int> places = new(StringComparer.Ordinal);

    // Of creates that got no answer: their rows may be there, or still appear.
    private readonly HashSet<string> unanswered = new(StringComparer.Ordinal);

    // Of operations that ended before their create was answered.
    private readonly HashSet<string> endedEarly = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> ending = new(StringComparer.Ordinal);
    private long bytes;
    private int sentCreates;
    private long? lastUnanswered;

    private List<Operation>? known;
    private PendingSnapshot? snapshot;
    private long? sent;
    private long read;
    private Look? looking;
    private TaskCompletionSource? nextSettledCreate;

    // What a version means outlives what is known: a list that is read again and has not changed has the same.
    private long version = Random.Shared.NextInt64();
    private ImmutableArray<long> versionIds = [];

    /// <summary>Whether the list may be told from memory: looked at recently, and nothing on its way that could change a row without a word here.</summary>
    public bool IsKnown => HasList && sentCreates == 0 && IsSettled && trust.Holds(sent!.Value);

    /// <summary>Whether the operations are at hand, however old the last look is: they never change but by their end.</summary>
    public bool HasList => known is not null;

    /// <summary>Whether the operations take so much memory that they are not kept for long.</summary>
    public bool IsLong => entries.Count > MostShort || bytes > MostShortBytes;

    /// <summary>Whether there was a look.</summary>
    public bool HasLooked => sent is not null;

    /// <summary>
    /// Whether the limits need a look before a create. Up to half of them an old count is enough: if a second activation exists, both together stay below them.
    /// </summary>
    public bool IsCountOld => sent is null || ((entries.Count > limit / 2 || bytes > mostBytes / 2) && IsLookOld);

    /// <summary>Whether there was no look, or one that is too old to refuse a create by.</summary>
    public bool IsLookOld => sent is not { } look || !trust.Holds(look);

    /// <summary>The limit that is exceeded, as the outcome of a create; null: none is.</summary>
    public OperationOutcome? Excess => ExcessWith(0, 0);

    /// <summary>Whether nothing is pending, and nothing on its way.</summary>
    public bool IsEmpty => entries.Count == 0 && places.Count == 0 && sentCreates == 0 && looking is null && IsSettled;

    /// <summary>Whether a look at the rows tells all that is known here, but for creates that are still to be answered.</summary>
    public bool IsSettled => !IsEnding() && !trust.IsUnsettled(lastUnanswered);

    /// <summary>Whether creates hold places that they may give back.</summary>
    public bool HasPlacesOnHold => places.Count > 0;

    /// <summary>Completes when the next create gives up its place, or keeps it.</summary>
    public Task NextSettledCreate => (nextSettledCreate ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Takes a place under the limits for a create, unless the id has one already.</summary>
    /// <param name="id">The operation that is to be created.</param>
    /// <param name="payload">Its payload.</param>
    /// <returns>Null, or the outcome of the create: the user has as much pending as may be.</returns>
    public OperationOutcome? Reserve(string id, string? payload)
    {
        var size = SizeOf(payload);
        var isNew = !entries.TryGetValue(id, out var held);

        // An operation that is known to be pending has its own place; a create of the same id never gives it back.
        var isShared = places.ContainsKey(id) || unanswered.Contains(id);
        if (isNew || (isShared && size > held.Size))
        {
            if (ExcessWith(isNew ? 1 : 0, size - held.Size) is { } excess)
            {
                return excess;
            }

            Set(id, held with { Size = size });
        }

        if (isNew || isShared)
        {
            places[id] = places.GetValueOrDefault(id) + 1;
        }

        return null;
    }

    /// <summary>Gives back the place of a create that has created nothing, for certain.</summary>
    public void Release(string id)
    {
        // A look may have found it meanwhile: another activation has created it.
        if (TryGiveUpPlace(id) && !unanswered.Contains(id) && !entries.GetValueOrDefault(id).IsRow)
        {
            Remove(id);
        }

        SettleOne();
    }

    /// <summary>A create's statement is about to be sent: from here on its row may be there.</summary>
    public void CreateSent() => sentCreates++;

    /// <summary>A create is durable.</summary>
    public void CreateDone(Operation operation)
    {
        var id = operation.OperationId;
        var hasEnded = endedEarly.Contains(id);
        Answered();
        places.Remove(id);
        unanswered.Remove(id);
        SettleOne();
        if (hasEnded)
        {
            Remove(id);
            return;
        }

        Set(id, EntryOf(operation));
        looking?.Created.Add(operation);
        snapshot = null;
        if (IsLong && !trust.Holds(read))
        {
            known = null;
        }
        else if (known is not null)
        {
            Insert(known, operation);
        }
    }

    /// <summary>A create was refused: it has created nothing, for certain.</summary>
    public void CreateRefused(string id)
    {
        Answered();
        Release(id);
    }

    /// <summary>A create got no answer: its row may be there, or still appear.</summary>
    public void CreateUnanswered(string id)
    {
        lastUnanswered = trust.Now;
        if (places.ContainsKey(id) && !endedEarly.Contains(id))
        {
            unanswered.Add(id);
        }

        Answered();
        Release(id);
    }

    /// <summary>An operation's end is about to be written.</summary>
    public void Ending(string id) => ending[id] = trust.Now;

    /// <summary>An operation's end is durable.</summary>
    public void Ended(string id)
    {
        ending.Remove(id);
        looking?.Ended.Add(id);
        looking?.EndedNumbers.Add(entries.GetValueOrDefault(id).Number);
        Remove(id);
        unanswered.Remove(id);
        if (places.ContainsKey(id))
        {
            endedEarly.Add(id);
        }

        if (known?.RemoveAll(operation => operation.OperationId == id) > 0)
        {
            snapshot = null;
        }
    }

    /// <summary>A row exists that was not known. What is known is dropped, and so is what a look on its way finds.</summary>
    public void Forget()
    {
        (known, snapshot) = (null, null);
        looking?.IsOutdated = true;
    }

    /// <summary>Drops operations that were read some time ago, but for what counts against the limits.</summary>
    /// <returns>Whether nothing is known now.</returns>
    public bool DropOld()
    {
        if (!trust.Holds(read))
        {
            (known, snapshot) = (null, null);
        }

        return known is null;
    }

    /// <summary>A look at the rows begins. One at a time; one that begins again forgets the one before.</summary>
    public Look BeginLook() => looking = new(trust.Now);

    /// <summary>The look that is on its way has failed.</summary>
    public void GiveUpLook() => looking = null;

    /// <summary>
    /// Takes over what a look at the numbers of pending rows has found, and what has happened since it began. What is pending never changes but by its end,
    /// so that the numbers are enough when none of them is new.
    /// </summary>
    /// <param name="look">The look.</param>
    /// <param name="numbers">Those of the user's operations whose rows are pending.</param>
    /// <param name="now">Nothing whose deadline has come is taken over.</param>
    /// <returns>False: the rows must be read, by another look.</returns>
    public bool TryEndLook(Look look, IReadOnlyList<long> numbers, DateTimeOffset now)
    {
        var left = numbers.Except(look.EndedNumbers).Concat(look.Created.Select(operation => operation.Id).Except(look.EndedNumbers)).ToHashSet();
        var found = entries.Where(entry => entry.Value.IsRow && left.Contains(entry.Value.Number)).ToList();
        if (look.IsOutdated || found.Count < left.Count || found.Exists(entry => entry.Value.ExpiresAt <= now))
        {
            return false;
        }

        looking = null;
        Take(look, found.Select(entry => entry.Key).ToHashSet(StringComparer.Ordinal));
        if (known?.RemoveAll(operation => !left.Contains(operation.Id)) > 0)
        {
            snapshot = null;
        }

        return true;
    }

    /// <summary>Takes over what a look at the rows has found, and what has happened since it began.</summary>
    /// <param name="look">The look.</param>
    /// <param name="rows">The user's operations whose rows are pending.</param>
    public PendingSnapshot EndLook(Look look, IEnumerable<Operation> rows)
    {
        looking = null;
        var found = rows.Where(operation => !look.Ended.Contains(operation.OperationId)).ToList();
        foreach (var operation in look.Created.Where(operation => !look.Ended.Contains(operation.OperationId)))
        {
            Insert(found, operation);
        }

        Take(look, []);
        found.ForEach(operation => Set(operation.OperationId, EntryOf(operation)));
        (known, read, snapshot) = (found, look.Begun, null);
        var list = Snapshot();
        (known, snapshot) = look.IsOutdated ? (null, null) : (known, snapshot);
        return list;
    }

    /// <summary>What is known, in the order of creation.</summary>
    public PendingSnapshot Snapshot()
    {
        if (snapshot is null)
        {
            // What is pending never changes but by its end, so that the same operations are the same list.
            var ids = known!.Select(operation => operation.Id);
            if (!ids.SequenceEqual(versionIds))
            {
                (version, versionIds) = (version + 1, [.. ids]);
            }

            snapshot = new() { Version = version, Operations = [.. known!] };
        }

        return snapshot;
    }

    /// <summary>Takes operations whose deadline has come off the list, and gives back their places.</summary>
    public void DropOverdue(DateTimeOffset now)
    {
        foreach (var entry in entries.Where(entry => entry.Value.ExpiresAt <= now).ToList())
        {
            Remove(entry.Key);
        }

        if (known?.RemoveAll(operation => operation.ExpiresAt <= now) > 0)
        {
            snapshot = null;
        }
    }

    private static int SizeOf(string? payload) => payload is null ? 0 : Encoding.UTF8.GetByteCount(payload);

    private static Entry EntryOf(Operation operation) => new(SizeOf(operation.Payload), operation.Id, operation.ExpiresAt);

    private OperationOutcome? ExcessWith(int more, int moreBytes) =>
        entries.Count + more > limit ? OperationOutcome.PendingLimitReached
        : bytes + moreBytes > mostBytes ? OperationOutcome.PendingBytesReached
        : null;

    // Keeps what a look has found, and what holds a place without it.
    private void Take(Look look, HashSet<string> found)
    {
        sent = look.Begun;

        // A look that began when the last statement of unknown outcome could not be done any more tells what became of it.
        if (!trust.IsUnsettledAt(lastUnanswered, look.Begun))
        {
            unanswered.Clear();
        }

        foreach (var (id, entry) in entries.Where(entry => !found.Contains(entry.Key)).ToList())
        {
            if (places.ContainsKey(id) || unanswered.Contains(id))
            {
                Set(id, new(entry.Size));
            }
            else
            {
                Remove(id);
            }
        }
    }

    private void Set(string id, Entry entry)
    {
        bytes += entry.Size - entries.GetValueOrDefault(id).Size;
        entries[id] = entry;
    }

    private void Remove(string id)
    {
        entries.Remove(id, out var entry);
        bytes -= entry.Size;
    }

    private void SettleOne()
    {
        nextSettledCreate?.SetResult();
        nextSettledCreate = null;
    }

    private void Answered()
    {
        sentCreates--;
        if (sentCreates == 0)
        {
            endedEarly.Clear();
        }
    }

    // Whether nobody else shares the place that a create of the id gives up.
    private bool TryGiveUpPlace(string id)
    {
        if (places.GetValueOrDefault(id) > 1)
        {
            places[id]--;
            return false;
        }

        return places.Remove(id);
    }

    // Almost always the newest.
    private static void Insert(List<Operation> operations, Operation operation)
    {
        var place = operations.Count;
        while (place > 0 && IsBefore(operation, operations[place - 1]))
        {
            place--;
        }

        if (place == 0 || operations[place - 1].Id != operation.Id)
        {
            operations.Insert(place, operation);
        }
    }

    private static bool IsBefore(Operation one, Operation other) =>
        one.CreatedAt != other.CreatedAt ? one.CreatedAt < other.CreatedAt : one.Id < other.Id;

    // The word that an end was written can be lost with a silo, and never comes when the write failed.
    private bool IsEnding()
    {
        if (ending.Count > 0)
        {
            foreach (var id in ending.Where(end => !trust.IsOnItsWay(end.Value)).Select(end => end.Key).ToList())
            {
                ending.Remove(id);
            }
        }

        return ending.Count > 0;
    }

    /// <param name="Size">The payload's bytes.</param>
    /// <param name="Number">The operation's; 0: no row of it was seen.</param>
    /// <param name="ExpiresAt">Its deadline.</param>
    private readonly record struct Entry(int Size, long Number = 0, DateTimeOffset? ExpiresAt = null)
    {
        public bool IsRow => Number != 0;
    }

    /// <summary>A look at the rows that is on its way.</summary>
    public sealed class Look(long begun)
    {
        public long Begun => begun;

        /// <summary>What was created since: its row may have come too late for this look.</summary>
        public List<Operation> Created { get; } = [];

        /// <summary>What has ended since: its row may have been pending still.</summary>
        public HashSet<string> Ended { get; } = new(StringComparer.Ordinal);

        public List<long> EndedNumbers { get; } = [];

        public bool IsOutdated { get; set; }
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
