using System.Collections.Immutable;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>A user's pending operations at one moment.</summary>
[GenerateSerializer, Immutable, Alias("recognize.pending-snapshot")]
internal sealed record PendingSnapshot
{
    /// <summary>Identifies this content among all that the user's list ever has, on every silo.</summary>
    [Id(0)]
    public required long Version { get; init; }

    /// <summary>The operations, oldest first; null: the caller has this version.</summary>
    [Id(1)]
    public ImmutableArray<Operation>? Operations { get; init; }
}
