using System.Collections.Immutable;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>A user's pending operations at one moment.</summary>
[GenerateSerializer, Immutable, Alias("recognize.pending-snapshot")]
internal sealed record PendingSnapshot
{
    // In characters. Thousands of users can have lists of this size at no noticeable cost.
    private const int LargestSmall = 16_384;

    /// <summary>
    /// Identifies this content. Each activation starts at a random number and counts up, so that no two contents of a
    /// user share a version.
    /// </summary>
    [Id(0)]
    public required long Version { get; init; }

    /// <summary>
    /// The operations, oldest first. Null when they are left out: the caller has this version, or did not ask for a
    /// large list.
    /// </summary>
    [Id(1)]
    public ImmutableArray<Operation>? Operations { get; init; }

    /// <summary>Whether the list is so large that each copy of it matters.</summary>
    public bool IsLarge => Operations is { } operations && operations.Sum(LengthOf) > LargestSmall;

    private static int LengthOf(Operation operation) => operation.OperationId.Length + (operation.Payload?.Length ?? 0) + (operation.ExternalUserId?.Length ?? 0);
}
