using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>Writes that may still change a user's rows without the user's grain being told.</summary>
internal sealed class PendingWrites(Freshness freshness)
{
    // Operations whose end was announced but whose write is not answered yet, with the time of the announcement.
    private readonly Dictionary<string, long> ending = new(StringComparer.Ordinal);
    private long? lastUnknownOutcome;

    /// <summary>Whether there is any.</summary>
    // The message that an end was written can be lost with a silo, and is never sent when the write failed. So an
    // announced end counts as in flight only for a limited time.
    public bool Any
    {
        get
        {
            if (ending.Count > 0)
            {
                DropOld();
            }

            return ending.Count > 0 || freshness.IsOutcomeUnknown(lastUnknownOutcome);
        }
    }

    /// <summary>The end of an operation is about to be written.</summary>
    public void Ending(string id) => ending[id] = freshness.Now;

    /// <summary>The end of an operation is durable, or is not written.</summary>
    public void Ended(string id) => ending.Remove(id);

    /// <summary>A create got no answer.</summary>
    public void LoseOutcome() => lastUnknownOutcome = freshness.Now;

    /// <summary>Whether a create without an answer could still insert its row at a time.</summary>
    public bool WasOutcomeUnknownAt(long time) => freshness.WasOutcomeUnknownAt(lastUnknownOutcome, time);

    private void DropOld()
    {
        foreach (var (id, _) in ending.Where(end => !freshness.IsInFlight(end.Value)).ToList())
        {
            ending.Remove(id);
        }
    }
}
