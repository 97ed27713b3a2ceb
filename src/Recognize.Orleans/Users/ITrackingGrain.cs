namespace Recognize.Orleans.Users;

/// <summary>How operations come to a user and leave again; the same grain that <see cref="IUserGrain"/> reaches.</summary>
[GrainInterfaceType("recognize.tracking")]
internal interface ITrackingGrain : IGrainWithStringKey
{
    /// <summary>Creates an operation of this user. The operation's own grain is not asked, unless there is one already.</summary>
    /// <returns>What <see cref="IOperationGrain.CreateAsync"/> returns.</returns>
    /// <exception cref="ArgumentException">A member breaks a rule of <see cref="OperationLimits"/>; nothing was changed.</exception>
    [Alias("create")]
    Task<OperationOutcome> CreateAsync(string operationId, CreateOperation request);

    /// <summary>The user's pending operations, for a front end that keeps what it was told last.</summary>
    /// <param name="known">The version that it has; null: none.</param>
    /// <param name="evenLarge">Whether it takes a large list; else it is told the version only.</param>
    [Alias("list-unless")]
    Task<PendingSnapshot> ListUnlessAsync(long? known, bool evenLarge);

    /// <summary>Called by an operation before its end is written: until it has ended, the list is read anew for whoever asks.</summary>
    [Alias("ending")]
    Task EndingAsync(string operationId);

    /// <summary>Called by an operation when its end is durable. A lost call is harmless: the list is read anew until the announced write must be over.</summary>
    [global::Orleans.Concurrency.OneWay]
    [Alias("ended")]
    Task EndedAsync(string operationId);
}
