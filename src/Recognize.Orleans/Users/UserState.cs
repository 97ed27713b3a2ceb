using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Recognize.Orleans.Users;

/// <summary>The ids that a user's list starts from, and the rules when one is added or dropped.</summary>
internal sealed record UserState
{
    /// <summary>
    /// How long an id without an operation stays: the operation may be on its way. Far longer than a create can take.
    /// </summary>
    public static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    [JsonPropertyName("v")]
    public int Format { get; init; } = Storage.StateSerializer.Format;

    public ImmutableArray<TrackedOperation> Pending { get; init; } = [];

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }

    public bool Tracks(string operationId) => Pending.Any(tracked => tracked.Id == operationId);

    /// <summary>The record that must be durable before the operation is written; this one, if it is good enough.</summary>
    public UserState Track(string operationId, DateTimeOffset now)
    {
        // An id that an unfinished attempt left behind is taken over. Its time starts again well before the grace is over,
        // or a list could drop the id while the operation is being written.
        var known = Pending.FirstOrDefault(tracked => tracked.Id == operationId);
        if (known is not null && now - known.At < Grace / 2)
        {
            return this;
        }

        return this with
        {
            Pending = known is null
                ? Pending.Add(new() { Id = operationId, At = now })
                : Pending.RemoveAll(tracked => tracked.Id == operationId).Add(known with { At = now }),
        };
    }

    public UserState Forget(string operationId) =>
        Tracks(operationId) ? this with { Pending = Pending.RemoveAll(tracked => tracked.Id == operationId) } : this;

    /// <summary>Drops exactly these entries: an id that was tracked anew meanwhile stays.</summary>
    public UserState Drop(IReadOnlySet<TrackedOperation> entries) =>
        entries.Count == 0 ? this : this with { Pending = Pending.RemoveAll(entries.Contains) };

    /// <summary>Whether the id can be dropped, given what its operation says now.</summary>
    public static bool IsOver(TrackedOperation tracked, string userId, Operation? operation, DateTimeOffset now) =>
        operation is null
            ? now - tracked.At > Grace
            : operation.Status is not OperationStatus.Pending || operation.UserId != userId;
}

/// <summary>An id on a user's record, and when it came there (UTC).</summary>
internal sealed record TrackedOperation
{
    public required string Id { get; init; }

    public required DateTimeOffset At { get; init; }

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }
}
