namespace Recognize.Orleans.State;

/// <summary>
/// A read that several callers share. Each caller gets the result of a read that began after it asked.
/// </summary>
internal sealed class SingleFlight<T>(Func<Task<T>> read)
{
    private Task<T>? running;
    private Task<T>? next;

    /// <summary>
    /// The read in flight. It may have begun before the caller asked, so it does not show what has changed since.
    /// </summary>
    public Task Running => running ?? Task.CompletedTask;

    /// <summary>Whether no read is in flight and nobody waits for one.</summary>
    public bool IsIdle => Running.IsCompleted && next is null;

    public Task<T> RunAsync() => running is null or { IsCompleted: true } && next is null ? running = read() : next ??= AfterAsync(running!);

    private async Task<T> AfterAsync(Task early)
    {
        await early.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        next = null;
        return await (running = read());
    }
}
