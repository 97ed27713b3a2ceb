namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// What a front end that renders lists asks of a user. Served by the grain that <see cref="IUserGrain"/> reaches.
/// </summary>
[GrainInterfaceType("recognize.pending-list")]
internal interface IPendingListGrain : IGrainWithStringKey
{
    /// <summary>The user's pending operations, for a front end that keeps the last list that it got.</summary>
    /// <param name="known">The version that it has; null: none.</param>
    [Alias("list-unless")]
    Task<PendingSnapshot> ListUnlessAsync(long? known);
}
