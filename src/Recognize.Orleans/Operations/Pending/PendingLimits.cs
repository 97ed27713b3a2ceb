namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// Counts how much a user has pending, and how much may be: every operation known to be pending, and the reservations
/// of creates in flight.
/// </summary>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes that the list of them may have as it is sent.</param>
internal sealed class PendingLimits(int mostOperations, int mostBytes)
{
    private const int MostShort = 25;
    private const int MostShortBytes = 16_384;

    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);

    // By id: its creates in flight, whose row may appear at any time.
    private readonly Dictionary<string, Reservation> reservations = new(StringComparer.Ordinal);

    // Ids of creates without an answer: their rows may exist, or may still appear.
    private readonly HashSet<string> unknownOutcomes = new(StringComparer.Ordinal);
    private int bytes = SentBytes.OfBrackets;
    private TaskCompletionSource? nextReleased;

    /// <summary>Whether the list takes so much memory that it is cached only for a short time.</summary>
    public bool IsLong => entries.Count > MostShort || bytes > MostShortBytes;

    public bool IsEmpty => entries.Count == 0 && reservations.Count == 0;

    /// <summary>Whether creates hold reservations that they may still release.</summary>
    public bool HasReservations => reservations.Count > 0;

    /// <summary>Completes when the next create releases its reservation, or turns it into an operation.</summary>
    public Task NextReleased => (nextReleased ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Whether one more operation would use more than half of a limit.</summary>
    public bool IsHalfUsedWith(int size) => entries.Count + 1 > mostOperations / 2 || bytes + size > mostBytes / 2;

    /// <summary>Makes a reservation for a create.</summary>
    /// <param name="id">The id of the operation to create. It may be counted already.</param>
    /// <param name="size">Its bytes on the list.</param>
    /// <param name="now">The time: what is overdue by then takes no place.</param>
    /// <returns>Null, or the outcome of the create when it would exceed a limit.</returns>
    public OperationOutcome? Reserve(string id, int size, DateTimeOffset now)
    {
        var isNew = !entries.TryGetValue(id, out var held);
        if (isNew || (!held.IsRow && size > held.Size))
        {
            if (ExcessWith(isNew ? 1 : 0, size - held.Size) is not null)
            {
                DropOverdue(now);
            }

            if (ExcessWith(isNew ? 1 : 0, size - held.Size) is { } excess)
            {
                return excess;
            }

            Set(id, held with { Size = size });
        }

        var reservation = reservations.GetValueOrDefault(id);
        reservations[id] = reservation with { Creates = reservation.Creates + 1 };
        return null;
    }

    /// <summary>A create with a reservation is durable.</summary>
    /// <returns>Whether the operation is pending; false when it has ended since.</returns>
    public bool Succeed(Operation operation)
    {
        reservations.Remove(operation.OperationId, out var reservation);
        unknownOutcomes.Remove(operation.OperationId);
        TellReleased();
        if (reservation.HasEnded)
        {
            Remove(operation.OperationId);
            return false;
        }

        Add(operation);
        return true;
    }

    /// <summary>Releases the reservation of a create that certainly inserted nothing.</summary>
    public void Release(string id)
    {
        if (reservations.TryGetValue(id, out var reservation) && reservation.Creates > 1)
        {
            reservations[id] = reservation with { Creates = reservation.Creates - 1 };
        }

        // If a refresh has found a row of this id, another activation inserted that row, and the operation stays counted.
        else if (reservations.Remove(id) && !unknownOutcomes.Contains(id) && !entries.GetValueOrDefault(id).IsRow)
        {
            Remove(id);
        }

        TellReleased();
    }

    /// <summary>A create got no answer: it stays counted until a refresh settles its outcome.</summary>
    public void LoseOutcome(string id)
    {
        if (reservations.TryGetValue(id, out var reservation) && !reservation.HasEnded)
        {
            unknownOutcomes.Add(id);
        }

        Release(id);
    }

    /// <summary>The row of an operation is known to exist.</summary>
    public void Add(Operation operation) => Set(operation.OperationId, new(SentBytes.Of(operation), operation.Id, operation.ExpiresAt));

    /// <summary>An operation has ended, perhaps before its create was answered.</summary>
    /// <returns>Its number; 0 when its row was never seen.</returns>
    public long End(string id)
    {
        unknownOutcomes.Remove(id);
        if (reservations.TryGetValue(id, out var reservation))
        {
            reservations[id] = reservation with { HasEnded = true };
        }

        return Remove(id);
    }

    /// <summary>
    /// The ids of the operations with these numbers; null when one is unknown or its deadline is reached.
    /// </summary>
    public HashSet<string>? IdsOf(HashSet<long> numbers, DateTimeOffset now)
    {
        var found = entries.Where(entry => entry.Value.IsRow && numbers.Contains(entry.Value.Number)).ToList();
        return found.Count < numbers.Count || found.Exists(entry => entry.Value.IsOverdue(now)) ? null : found.Select(entry => entry.Key).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>Keeps what a refresh found and what creates in flight have reserved.</summary>
    /// <param name="found">The ids of the rows that are pending.</param>
    /// <param name="settlesOutcomes">Whether the refresh settles the outcome of creates without an answer.</param>
    public void KeepOnly(HashSet<string> found, bool settlesOutcomes)
    {
        if (settlesOutcomes)
        {
            unknownOutcomes.Clear();
        }

        foreach (var (id, entry) in entries.Where(entry => !found.Contains(entry.Key)).ToList())
        {
            if (reservations.ContainsKey(id) || unknownOutcomes.Contains(id))
            {
                Set(id, new(entry.Size));
            }
            else
            {
                Remove(id);
            }
        }
    }

    private void DropOverdue(DateTimeOffset now)
    {
        foreach (var entry in entries.Where(entry => entry.Value.IsOverdue(now)).ToList())
        {
            Remove(entry.Key);
        }
    }

    private OperationOutcome? ExcessWith(int more, int moreBytes) =>
        entries.Count + more > mostOperations ? OperationOutcome.PendingLimitReached
        : bytes + moreBytes > mostBytes ? OperationOutcome.PendingBytesReached
        : null;

    private void Set(string id, Entry entry)
    {
        bytes += entry.Size - entries.GetValueOrDefault(id).Size;
        entries[id] = entry;
    }

    private long Remove(string id)
    {
        entries.Remove(id, out var entry);
        bytes -= entry.Size;
        return entry.Number;
    }

    private void TellReleased()
    {
        nextReleased?.SetResult();
        nextReleased = null;
    }

    /// <param name="Creates">How many creates share it.</param>
    /// <param name="HasEnded">Whether the operation has ended although no create was answered yet.</param>
    private readonly record struct Reservation(int Creates, bool HasEnded);

    /// <param name="Size">The operation's bytes on the list.</param>
    /// <param name="Number">Its number; 0 when its row was not seen.</param>
    /// <param name="ExpiresAt">Its deadline.</param>
    private readonly record struct Entry(int Size, long Number = 0, DateTimeOffset? ExpiresAt = null)
    {
        public bool IsRow => Number != 0;

        public bool IsOverdue(DateTimeOffset now) => ExpiresAt <= now;
    }
}
