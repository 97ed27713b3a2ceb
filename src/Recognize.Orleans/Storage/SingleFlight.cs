namespace Recognize.Orleans.Storage;

/// <summary>Reads that several callers share. Each gets the result of one that began after it asked.</summary>
internal sealed class SingleFlight<T>(Func<Task<T>> read)
{
    private Task<T>? running;
    private Task<T>? next;

    /// <summary>The read that is on its way; it may have begun too early to prove anything but what it finds.</summary>
    public Task Running => running ?? Task.CompletedTask;

    /// <summary>Whether no read is on its way and nobody waits for one.</summary>
    public bool IsIdle => Running.IsCompleted && next is null;

    public Task<T> RunAsync() => running is null or { IsCompleted: true } && next is null ? running = read() : next ??= AfterAsync(running!);

    private async Task<T> AfterAsync(Task early)
    {
        await early.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        next = null;
        return await (running = read());
    }
}
