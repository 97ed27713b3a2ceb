using Orleans.Concurrency;

namespace Recognize.Orleans.Operations;

/// <summary>
/// What an operation tells its user, who owns the list of pending operations. Served by the grain that
/// <see cref="IUserGrain"/> reaches.
/// </summary>
[GrainInterfaceType("recognize.operation-owner")]
internal interface IOperationOwnerGrain : IGrainWithStringKey
{
    /// <summary>
    /// Called by an operation before its end is written. Until it has ended, the list is read from the rows for each
    /// caller.
    /// </summary>
    /// <returns>
    /// The operation as this grain has created it a short time ago; otherwise null. It may have ended since, which only the
    /// version of its row tells.
    /// </returns>
    [Alias("ending")]
    Task<OperationState?> EndingAsync(string operationId);

    /// <summary>
    /// Called by an operation when its end is durable, or when what was announced is not written. A lost call is
    /// harmless: the list is read from the rows until the announced write must be over.
    /// </summary>
    [OneWay]
    [Alias("ended")]
    Task EndedAsync(string operationId, bool hasEnded);
}
