using System.Text;

namespace Recognize.Orleans.Users;

/// <summary>
/// How much of a user's is pending, and how much may be: every operation that is pending as far as is known, and those of creates in flight.
/// </summary>
/// <param name="mostOperations">The most operations that may be pending at once.</param>
/// <param name="mostBytes">The most bytes of UTF-8 that their payloads may have together.</param>
internal sealed class PendingLimits(int mostOperations, long mostBytes)
{
    private const int MostShort = 25;
    private const int MostShortBytes = 16_384;

    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);

    // How many creates of an id hold its reservation. Their rows may appear at any time.
    private readonly Dictionary<string, int> reservations = new(StringComparer.Ordinal);

    // Of creates without an answer: their rows may be there, or still appear.
    private readonly HashSet<string> unknownOutcomes = new(StringComparer.Ordinal);
    private long bytes;

    /// <summary>The limit that is exceeded, as the outcome of a create; null: none is.</summary>
    public OperationOutcome? Excess => ExcessWith(0, 0);

    /// <summary>Whether more than half of a limit is used.</summary>
    public bool IsHalfUsed => entries.Count > mostOperations / 2 || bytes > mostBytes / 2;

    /// <summary>Whether the list takes so much memory that it is not kept for long.</summary>
    public bool IsLong => entries.Count > MostShort || bytes > MostShortBytes;

    public bool IsEmpty => entries.Count == 0 && reservations.Count == 0;

    /// <summary>Whether creates hold reservations that they may give back.</summary>
    public bool HasReservations => reservations.Count > 0;

    public bool IsReserved(string id) => reservations.ContainsKey(id);

    /// <summary>Reserves room for a create, unless the id has it already.</summary>
    /// <inheritdoc cref="PendingOperations.Reserve"/>
    public OperationOutcome? Reserve(string id, string? payload)
    {
        var size = SizeOf(payload);
        var isNew = !entries.TryGetValue(id, out var held);

        // An operation that is known to be pending has its own room; a create of the same id never gives it back.
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

    /// <summary>Gives back the reservation of a create that has created nothing, for certain.</summary>
    public void Release(string id)
    {
        if (reservations.GetValueOrDefault(id) > 1)
        {
            reservations[id]--;
            return;
        }

        // A refresh may have found its row meanwhile: another activation has created it.
        if (reservations.Remove(id) && !unknownOutcomes.Contains(id) && !entries.GetValueOrDefault(id).IsRow)
        {
            Remove(id);
        }
    }

    /// <summary>The row of an operation is there, and no create of it is in flight any more.</summary>
    public void Settle(string id)
    {
        reservations.Remove(id);
        unknownOutcomes.Remove(id);
    }

    /// <summary>A create got no answer: its room stays taken until a refresh tells what became of it.</summary>
    public void SetOutcomeUnknown(string id)
    {
        if (reservations.ContainsKey(id))
        {
            unknownOutcomes.Add(id);
        }
    }

    /// <summary>The row of an operation was seen.</summary>
    public void Add(Operation operation) => Set(operation.OperationId, new(SizeOf(operation.Payload), operation.Id, operation.ExpiresAt));

    /// <summary>An operation has ended.</summary>
    /// <returns>Its number; 0: its row was never seen.</returns>
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

    /// <summary>The ids of operations whose numbers are given, unless one of them is not known or has come to its deadline.</summary>
    public HashSet<string>? IdsOf(HashSet<long> numbers, DateTimeOffset now)
    {
        var found = entries.Where(entry => entry.Value.IsRow && numbers.Contains(entry.Value.Number)).ToList();
        return found.Count < numbers.Count || found.Exists(entry => entry.Value.ExpiresAt <= now) ? null : found.Select(entry => entry.Key).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>Keeps what a refresh has found, and what a create in flight has reserved.</summary>
    /// <param name="found">The ids of rows that are pending.</param>
    /// <param name="settlesOutcomes">Whether the refresh tells what became of creates without an answer.</param>
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

    /// <summary>Gives back the room of operations whose deadline has come.</summary>
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
    /// <param name="Number">The operation's; 0: its row was not seen.</param>
    /// <param name="ExpiresAt">Its deadline.</param>
    private readonly record struct Entry(int Size, long Number = 0, DateTimeOffset? ExpiresAt = null)
    {
        public bool IsRow => Number != 0;
    }
}
