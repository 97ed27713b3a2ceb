namespace Recognize.Orleans.Cluster;

/// <summary>
/// Ends a process that may no longer write, because the others have gone on without it, or that has met an error it
/// cannot continue after. It logs the reason once, stops as an operator would stop it, and exits with
/// <see cref="ExitCode"/>.
/// </summary>
internal sealed partial class Fence(IHostApplicationLifetime lifetime, StopDeadline deadline, ILogger<Fence> logger)
{
    public const int ExitCode = 3;

    // A stop may wait for something that never comes: other silos do not answer a dead one.
    private static readonly TimeSpan LongestStop = TimeSpan.FromSeconds(30);

    private readonly TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the process may no longer write.</summary>
    public Task Closed => closed.Task;

    public bool IsClosed => closed.Task.IsCompleted;

    /// <summary>Stops the process, because the others have gone on without it. May be called again.</summary>
    /// <param name="reason">What the database or the cluster said, as a sentence.</param>
    public void Close(string reason)
    {
        if (closed.TrySetResult())
        {
            Log.Closed(logger, reason, ExitCode);
            Stop();
        }
    }

    /// <summary>Stops the process after an error that it cannot continue after. May be called again.</summary>
    public void Close(string where, Exception fault)
    {
        if (closed.TrySetResult())
        {
            Log.Failed(logger, fault, where, ExitCode);
            Stop();
        }
    }

    private void Stop()
    {
        deadline.ExitCode = ExitCode;
        deadline.Set(LongestStop);

        // Not on the caller's thread: the caller may hold a lock or a grain's turn that the stop waits for.
        ThreadPool.QueueUserWorkItem(_ => lifetime.StopApplication());
    }

    private static partial class Log
    {
        [LoggerMessage(60, LogLevel.Critical, "{Reason} This node writes nothing any more and stops, with exit code {ExitCode}; start it again.")]
        public static partial void Closed(ILogger logger, string reason, int exitCode);

        [LoggerMessage(61, LogLevel.Critical, "A fault that this node cannot go on with, in {Where}: it stops, with exit code {ExitCode}.")]
        public static partial void Failed(ILogger logger, Exception fault, string where, int exitCode);
    }
}
