namespace Recognize.Orleans.Users;

/// <summary>What a front end that renders lists asks of a user. Served by the grain that <see cref="IUserGrain"/> reaches.</summary>
[GrainInterfaceType("recognize.pending-list")]
internal interface IPendingListGrain : IGrainWithStringKey
{
    /// <summary>The user's pending operations, for a front end that keeps the list that it was told last.</summary>
    /// <param name="known">The version that it has; null: none.</param>
    /// <param name="evenLarge">Whether it takes a large list; else it is told the version only.</param>
    [Alias("list-unless")]
    Task<PendingSnapshot> ListUnlessAsync(long? known, bool evenLarge);
}
