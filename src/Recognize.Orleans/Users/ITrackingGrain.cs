using Orleans.Concurrency;

namespace Recognize.Orleans.Users;

/// <summary>How operations come to a user and leave again; the same grain that <see cref="IUserGrain"/> reaches.</summary>
[GrainInterfaceType("recognize.tracking")]
internal interface ITrackingGrain : IGrainWithStringKey
{
    /// <summary>
    /// Creates an operation of this user where the storage can write its row and the user's record together, without a call to the operation.
    /// </summary>
    /// <returns>What <see cref="IOperationGrain.CreateAsync"/> returns; null: ask that, because each row is written by itself.</returns>
    /// <exception cref="ArgumentException">A member breaks a rule of <see cref="OperationLimits"/>; nothing was changed.</exception>
    [Alias("create")]
    Task<OperationOutcome?> CreateAsync(string operationId, CreateOperation request);

    /// <summary>Called by an operation that is about to write its first row by itself, and never before it is answered.</summary>
    /// <returns>Whether the id is on the user's durable record; false: the user has as many pending operations as the service allows.</returns>
    [Alias("record")]
    Task<bool> TrackAsync(string operationId);

    /// <summary>
    /// Called by an operation that is about to be decided or cancelled, before it is written: what the user's list knows of it is
    /// no longer to be relied on.
    /// </summary>
    // The list may be asking that very operation.
    [AlwaysInterleave]
    [Alias("changing")]
    Task ChangingAsync();

    /// <summary>Called by an operation that was decided. A lost call is harmless: lists and limits ask the operation itself.</summary>
    [OneWay]
    [Alias("forget")]
    Task ForgetAsync(string operationId);

    /// <summary>Called by an operation whose row was written after <see cref="TrackAsync"/>: it is on the list from now on.</summary>
    [OneWay]
    [AlwaysInterleave]
    [Alias("changed")]
    Task ChangedAsync();
}
