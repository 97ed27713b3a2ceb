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

    /// <summary>
    /// Called by an operation that is about to be created: when <see cref="TrackOutcome.Tracked"/> returns, the id is
    /// durable here. The operation must be written after that, never before.
    /// </summary>
    [Alias("track")]
    Task<TrackOutcome> TrackAsync(string operationId);

    /// <summary>Called by an operation that was decided. A lost call is harmless: lists and limits ask the operation itself.</summary>
    [OneWay]
    [Alias("forget")]
    Task ForgetAsync(string operationId);
}

/// <summary>Whether a user takes one more operation. Numbers are on the wire: append, never renumber.</summary>
[GenerateSerializer, Alias("recognize.track-outcome")]
public enum TrackOutcome
{
    /// <summary>The id is on the user's list.</summary>
    Tracked = 1,

    /// <summary>The user has as many pending operations as the service allows.</summary>
    LimitReached = 2,
}
