using System.Collections.Immutable;
using Orleans.Concurrency;

namespace Recognize.Orleans;

/// <summary>
/// One user of one customer: keeps the ids of the user's pending operations. Reach it with
/// <see cref="GrainFactoryExtensions.GetUser"/>. A user needs no registration.
/// </summary>
[GrainInterfaceType("recognize.user")]
public interface IUserGrain : IGrainWithStringKey
{
    /// <summary>The user's pending operations, the oldest first.</summary>
    // It answers while an operation of this user is being created; see IOperationGrain.GetAsync.
    [AlwaysInterleave]
    [Alias("list-pending")]
    Task<ImmutableArray<Operation>> ListPendingAsync();
}
