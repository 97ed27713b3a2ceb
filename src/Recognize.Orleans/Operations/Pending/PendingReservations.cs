namespace Recognize.Orleans.Operations.Pending;

/// <summary>The creates of a user that are in flight or got no answer: their rows may appear at any time.</summary>
internal sealed class PendingReservations
{
    private readonly Dictionary<string, Reservation> reservations = new(StringComparer.Ordinal);
    private int creates;
    private TaskCompletionSource? nextReleased;

    /// <summary>Whether creates are in flight.</summary>
    public bool AnyInFlight => creates > 0;

    public bool IsEmpty => reservations.Count == 0;

    /// <summary>Completes when the next create in flight is answered.</summary>
    public Task NextReleased => (nextReleased ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>What may be pending, with its bytes on the list.</summary>
    public IEnumerable<(string Id, int Size)> All => reservations.Where(one => !one.Value.HasEnded).Select(one => (one.Key, one.Value.Size));

    /// <summary>Makes a reservation for a create. Creates of one id share one of the largest size.</summary>
    public void Add(string id, int size)
    {
        var held = reservations.GetValueOrDefault(id);
        reservations[id] = held with { Size = Math.Max(held.Size, size), Creates = held.Creates + 1 };
        creates++;
    }

    /// <summary>A create is durable, so that all others of its id are refused.</summary>
    /// <returns>Whether the operation is pending; false when it has ended since.</returns>
    public bool Succeed(string id)
    {
        reservations.Remove(id, out var held);
        creates -= held.Creates;
        TellReleased();
        return !held.HasEnded;
    }

    /// <summary>A create has certainly inserted nothing.</summary>
    public void Release(string id)
    {
        if (reservations.TryGetValue(id, out var held) && held.Creates > 0)
        {
            creates--;
            Set(id, held with { Creates = held.Creates - 1 });
        }

        TellReleased();
    }

    /// <summary>A create got no answer. It keeps its reservation until <see cref="Settle"/>.</summary>
    public void LoseOutcome(string id)
    {
        if (reservations.TryGetValue(id, out var held))
        {
            reservations[id] = held with { IsOutcomeUnknown = !held.HasEnded };
        }

        Release(id);
    }

    /// <summary>An operation has ended, perhaps before its create was answered.</summary>
    public void End(string id)
    {
        if (reservations.TryGetValue(id, out var held))
        {
            Set(id, held with { HasEnded = true, IsOutcomeUnknown = false });
        }
    }

    /// <summary>Creates without an answer have inserted their row by now, or never will.</summary>
    public void Settle()
    {
        foreach (var (id, held) in reservations.Where(one => one.Value.IsOutcomeUnknown).ToList())
        {
            Set(id, held with { IsOutcomeUnknown = false });
        }
    }

    private void Set(string id, Reservation reservation)
    {
        if (reservation is { Creates: 0, IsOutcomeUnknown: false })
        {
            reservations.Remove(id);
        }
        else
        {
            reservations[id] = reservation;
        }
    }

    private void TellReleased()
    {
        nextReleased?.SetResult();
        nextReleased = null;
    }

    /// <param name="Size">The bytes of its operation on the list.</param>
    /// <param name="Creates">How many creates in flight share it.</param>
    /// <param name="IsOutcomeUnknown">Whether a create of it got no answer.</param>
    /// <param name="HasEnded">Whether its operation has ended although no create was answered yet.</param>
    private readonly record struct Reservation(int Size, int Creates, bool IsOutcomeUnknown, bool HasEnded);
}
