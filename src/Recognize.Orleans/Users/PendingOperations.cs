using System.Collections.Immutable;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Users;

/// <summary>
/// What a user's grain remembers of the user's pending operations between two looks at their rows, and the rules for when that may be told.
/// The rows are what is true; everything here can be lost.
/// </summary>
/// <param name="trust">How long a look is good for.</param>
/// <param name="limit">The most operations that may be pending at once.</param>
internal sealed class PendingOperations(Trust trust, int limit)
{
    // Every id that is pending as far as is known, those of creates on their way included. They count against the limit.
    private readonly HashSet<string> ids = new(StringComparer.Ordinal);

    // How many creates of an id hold its place. Their rows may appear at any time.
    private readonly Dictionary<string, int> places = new(StringComparer.Ordinal);

    // Of creates that got no answer: their rows may be there, or still appear.
    private readonly HashSet<string> unanswered = new(StringComparer.Ordinal);

    // Of operations that ended before their create was answered.
    private readonly HashSet<string> endedEarly = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> ending = new(StringComparer.Ordinal);
    private int sentCreates;
    private long? lastUnanswered;

    private List<Operation>? known;
    private ImmutableArray<Operation> listed;
    private long? sent;
    private Look? looking;
    private TaskCompletionSource? nextSettledCreate;

    /// <summary>Whether the list may be told from memory: looked at recently, and nothing on its way that could change a row without a word here.</summary>
    public bool IsKnown => known is not null && sentCreates == 0 && IsSettled && trust.Holds(sent!.Value);

    /// <summary>
    /// Whether the limit needs a look before a create. Up to half of the limit an old count is enough: if a second activation exists, both together stay below it.
    /// </summary>
    public bool IsCountOld => sent is not { } look || (ids.Count > limit / 2 && !trust.Holds(look));

    /// <summary>Whether a look at the rows tells all that is known here, but for creates that are still to be answered.</summary>
    public bool IsSettled => !IsEnding() && !trust.IsUnsettled(lastUnanswered);

    public bool IsOverLimit => ids.Count > limit;

    /// <summary>Whether creates hold places that they may give back.</summary>
    public bool HasPlacesOnHold => places.Count > 0;

    /// <summary>Completes when the next create gives up its place, or keeps it.</summary>
    public Task NextSettledCreate => (nextSettledCreate ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Takes a place under the limit for a create, unless the id has one already.</summary>
    /// <returns>False: the user has as many pending operations as may be.</returns>
    public bool TryReserve(string id)
    {
        if (!ids.Contains(id) && ids.Count >= limit)
        {
            return false;
        }

        // An operation that is known to be pending has its own place; a create of the same id never gives it back.
        if (ids.Add(id) || places.ContainsKey(id) || unanswered.Contains(id))
        {
            places[id] = places.GetValueOrDefault(id) + 1;
        }

        return true;
    }

    /// <summary>Gives back the place of a create that has created nothing, for certain.</summary>
    public void Release(string id)
    {
        // A look may have found it meanwhile: another activation has created it.
        if (TryGiveUpPlace(id) && !unanswered.Contains(id) && known?.Exists(operation => operation.OperationId == id) is not true)
        {
            ids.Remove(id);
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
            ids.Remove(id);
            return;
        }

        ids.Add(id);
        looking?.Created.Add(operation);

        // What is too old to be told need not be kept.
        known = sent is { } look && trust.Holds(look) ? known : null;
        if (known is not null)
        {
            Insert(known, operation);
            listed = default;
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
        ids.Remove(id);
        unanswered.Remove(id);
        looking?.Ended.Add(id);
        if (places.ContainsKey(id))
        {
            endedEarly.Add(id);
        }

        if (known?.RemoveAll(operation => operation.OperationId == id) > 0)
        {
            listed = default;
        }
    }

    /// <summary>A row exists that was not known. What is known is dropped, and so is what a look on its way finds.</summary>
    public void Forget()
    {
        known = null;
        looking?.IsOutdated = true;
    }

    /// <summary>A look at the rows begins. One at a time; one that fails is forgotten when the next begins.</summary>
    public Look BeginLook() => looking = new(trust.Now);

    /// <summary>Takes over what a look has found, and what has happened since it began.</summary>
    /// <param name="look">The look.</param>
    /// <param name="rows">The user's operations whose rows are pending.</param>
    public ImmutableArray<Operation> EndLook(Look look, IEnumerable<Operation> rows)
    {
        looking = null;
        var found = rows.Where(operation => !look.Ended.Contains(operation.OperationId)).ToList();
        foreach (var operation in look.Created.Where(operation => !look.Ended.Contains(operation.OperationId)))
        {
            Insert(found, operation);
        }

        // A look that began when the last statement of unknown outcome could not be done any more tells what became of it.
        if (!trust.IsUnsettledAt(lastUnanswered, look.Begun))
        {
            unanswered.Clear();
        }

        ids.Clear();
        ids.UnionWith(found.Select(operation => operation.OperationId));
        ids.UnionWith(places.Keys);
        ids.UnionWith(unanswered);
        (known, sent, listed) = (found, look.Begun, default);
        var list = List();
        known = look.IsOutdated ? null : known;
        return list;
    }

    /// <summary>What is known, in the order of creation.</summary>
    public ImmutableArray<Operation> List() => listed.IsDefault ? listed = [.. known!] : listed;

    /// <summary>Gives back the places of operations whose deadline has come.</summary>
    public void DropOverdue(DateTimeOffset now)
    {
        if (known is { } operations && sent is { } look && trust.Holds(look))
        {
            ids.ExceptWith(operations.Where(operation => operation.ExpiresAt <= now).Select(operation => operation.OperationId));
        }
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

    /// <summary>A look at the rows that is on its way.</summary>
    public sealed class Look(long begun)
    {
        public long Begun => begun;

        /// <summary>What was created since: its row may have come too late for this look.</summary>
        public List<Operation> Created { get; } = [];

        /// <summary>What has ended since: its row may have been pending still.</summary>
        public HashSet<string> Ended { get; } = new(StringComparer.Ordinal);

        public bool IsOutdated { get; set; }
    }
}
