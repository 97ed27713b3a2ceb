using Orleans.Concurrency;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Users;

/// <summary>What operations ask of their user's grain, the same that <see cref="IUserGrain"/> reaches.</summary>
[GrainInterfaceType("recognize.tracking")]
internal interface ITrackingGrain : IGrainWithStringKey
{
    /// <summary>
    /// Called by an operation that is about to be created, with the row that it will start with. The id is durable here when
    /// <see cref="TrackOutcome.Tracked"/> or <see cref="TrackOutcome.Created"/> returns.
    /// </summary>
    [Alias("track")]
    Task<TrackOutcome> TrackAsync(string operationId, FirstRow row);

    /// <summary>Called by an operation that was decided. A lost call is harmless: lists and limits ask the operation itself.</summary>
    [OneWay]
    [Alias("forget")]
    Task ForgetAsync(string operationId);

    /// <summary>Called by an operation whose row was written after <see cref="TrackOutcome.Tracked"/>: it is on the list from now on.</summary>
    [OneWay]
    [AlwaysInterleave]
    [Alias("changed")]
    Task ChangedAsync();
}

/// <summary>Whether a user takes one more operation. Numbers are on the wire: append, never renumber.</summary>
[GenerateSerializer, Alias("recognize.track-outcome")]
internal enum TrackOutcome
{
    /// <summary>The id is on the user's record. The operation's row must be written after that, never before.</summary>
    Tracked = 1,

    /// <summary>The user has as many pending operations as the service allows.</summary>
    LimitReached = 2,

    /// <summary>The id is on the user's record and the operation's row is written, both in one transaction.</summary>
    Created = 3,

    /// <summary>The operation has a row already; nothing was written.</summary>
    Exists = 4,
}
