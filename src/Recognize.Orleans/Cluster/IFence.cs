namespace Recognize.Orleans.Cluster;

/// <summary>Ends a process that may no longer write, because the others have gone on without it.</summary>
internal interface IFence
{
    bool IsClosed { get; }

    /// <summary>Logs the reason and stops the process. May be called again, which changes nothing.</summary>
    /// <param name="reason">What the database or the cluster said, as a sentence.</param>
    void Close(string reason);
}
