
namespace Recognize.Orleans.FaultInjection;

/// <summary>What was asked.</summary>
internal enum Call
{
    Create,
    Approve,
    Deny,
    Cancel,
    Read,
    Wait,
    List,
    History,

    /// <summary>The view of the database, which no cache stands before.</summary>
    View,
}

/// <summary>One answer, and when it was asked for and given, on the monotonic clock of the one who asked.</summary>
/// <param name="Call">What was asked.</param>
/// <param name="Node">Who was asked.</param>
/// <param name="User">Whom it is about; empty for the view.</param>
/// <param name="Id">The operation it is about, if it is about one.</param>
/// <param name="Sent">When it was asked.</param>
/// <param name="Answered">When the answer was read to its end, or the connection was lost.</param>
/// <param name="Status">The HTTP status; 0 when there was no answer.</param>
internal sealed record Observation(Call Call, string Node, string User, string? Id, TimeSpan Sent, TimeSpan Answered, int Status)
{
    /// <summary>What the answer says about operations.</summary>
    public IReadOnlyList<Told> Told { get; init; } = [];

    /// <summary>Of a create: equal for those that are one attempt, which is sent again with its Idempotency-Key.</summary>
    public string? Attempt { get; init; }

    /// <summary>Of a create: how long it can be decided.</summary>
    public TimeSpan? Lifetime { get; init; }

    /// <summary>Whether the answer names everything there is, not just a first page.</summary>
    public bool IsComplete { get; init; } = true;

    public override string ToString() => FormattableString.Invariant($"{Call} on {Node}, sent at {Sent.TotalSeconds:F3} s and answered {Status} at {Answered.TotalSeconds:F3} s");
}

/// <summary>What one answer says about one operation.</summary>
/// <param name="Id">The operation.</param>
/// <param name="Status">Its status; null when the answer only says that it exists, or that it does not.</param>
/// <param name="Exists">False when the answer says that there is no such operation.</param>
/// <param name="Number">Its number, if that was said.</param>
/// <param name="User">Its user, if that was said.</param>
internal sealed record Told(string Id, string? Status, bool Exists = true, long? Number = null, string? User = null);
