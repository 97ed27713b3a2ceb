using System.Text;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// Counts how much a user has pending, and how much may be: every operation known to be pending, and the reservations
/// of creates in flight.
/// </summary>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes of UTF-8 that their payloads may have in total.</param>
internal sealed class PendingLimits(int mostOperations, long mostBytes)
{
    private const int MostShort = 25;
    private const int MostShortBytes = 16_384;

    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);

    // How many creates share the reservation of an id. Their rows may appear at any time.
    private readonly Dictionary<string, int> reservations = new(StringComparer.Ordinal);

    // Ids of creates without an answer: their rows may exist, or may still appear.
    private readonly HashSet<string> unknownOutcomes = new(StringComparer.Ordinal);
    private long bytes;

    /// <summary>The limit that is exceeded, as the outcome of a create; null when none is.</summary>
    public OperationOutcome? Excess => ExcessWith(0, 0);

    /// <summary>Whether more than half of a limit is used.</summary>
    public bool IsHalfUsed => entries.Count > mostOperations / 2 || bytes > mostBytes / 2;

    /// <summary>Whether the list takes so much memory that it is cached only for a short time.</summary>
    public bool IsLong => entries.Count > MostShort || bytes > MostShortBytes;

    public bool IsEmpty => entries.Count == 0 && reservations.Count == 0;

    /// <summary>Whether creates hold reservations that they may still release.</summary>
    public bool HasReservations => reservations.Count > 0;

    public bool IsReserved(string id) => reservations.ContainsKey(id);

    /// <summary>Makes a reservation for a create, unless the id is already counted.</summary>
    /// <inheritdoc cref="PendingOperations.Reserve"/>
    public OperationOutcome? Reserve(string id, string? payload)
    {
        var size = SizeOf(payload);
        var isNew = !entries.TryGetValue(id, out var held);

        // An operation that is known to be pending is counted for itself; another create of its id never releases that.
        var isShared = reservations.ContainsKey(id) || unknownOutcomes.Contains(id);
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
            reservations[id] = reservations.GetValueOrDefault(id) + 1;
        }

        return null;
    }

    /// <summary>Releases the reservation of a create that certainly inserted nothing.</summary>
    public void Release(string id)
    {
        if (reservations.GetValueOrDefault(id) > 1)
        {
            reservations[id]--;
            return;
        }

        // If a refresh has found a row of this id, another activation inserted that row, and the operation stays counted.
        if (reservations.Remove(id) && !unknownOutcomes.Contains(id) && !entries.GetValueOrDefault(id).IsRow)
        {
            Remove(id);
        }
    }

    /// <summary>The row of an operation exists, and none of its creates is in flight any more.</summary>
    public void Settle(string id)
    {
        reservations.Remove(id);
        unknownOutcomes.Remove(id);
    }

    /// <summary>A create got no answer: it stays counted until a refresh settles its outcome.</summary>
    public void SetOutcomeUnknown(string id)
    {
        if (reservations.ContainsKey(id))
        {
            unknownOutcomes.Add(id);
        }
    }

    /// <summary>The row of an operation is known to exist.</summary>
    public void Add(Operation operation) => Set(operation.OperationId, new(SizeOf(operation.Payload), operation.Id, operation.ExpiresAt));

    /// <summary>An operation has ended.</summary>
    /// <returns>Its number; 0 when its row was never seen.</returns>
    public long End(string id)
    {
        var number = Remove(id);
        unknownOutcomes.Remove(id);
        return number;
    }

    public long Remove(string id)
    {
        entries.Remove(id, out var entry);
        bytes -= entry.Size;
        return entry.Number;
    }

    /// <summary>
    /// The ids of the operations with these numbers; null when one is unknown or its deadline is reached.
    /// </summary>
    public HashSet<string>? IdsOf(HashSet<long> numbers, DateTimeOffset now)
    {
        var found = entries.Where(entry => entry.Value.IsRow && numbers.Contains(entry.Value.Number)).ToList();
        return found.Count < numbers.Count || found.Exists(entry => entry.Value.ExpiresAt <= now) ? null : found.Select(entry => entry.Key).ToHashSet(StringComparer.Ordinal);
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

    /// <summary>Stops counting operations whose deadline is reached.</summary>
    public void DropOverdue(DateTimeOffset now)
    {
        foreach (var entry in entries.Where(entry => entry.Value.ExpiresAt <= now).ToList())
        {
            Remove(entry.Key);
        }
    }

    private static int SizeOf(string? payload) => payload is null ? 0 : Encoding.UTF8.GetByteCount(payload);

    private OperationOutcome? ExcessWith(int more, int moreBytes) =>
        entries.Count + more > mostOperations ? OperationOutcome.PendingLimitReached
        : bytes + moreBytes > mostBytes ? OperationOutcome.PendingBytesReached
        : null;

    private void Set(string id, Entry entry)
    {
        bytes += entry.Size - entries.GetValueOrDefault(id).Size;
        entries[id] = entry;
    }

    /// <param name="Size">The payload's bytes.</param>
    /// <param name="Number">The operation's number; 0 when its row was not seen.</param>
    /// <param name="ExpiresAt">Its deadline.</param>
    private readonly record struct Entry(int Size, long Number = 0, DateTimeOffset? ExpiresAt = null)
    {
        public bool IsRow => Number != 0;
    }
}
