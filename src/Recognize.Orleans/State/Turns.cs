namespace Recognize.Orleans.State;

/// <summary>
/// A lock for the calls of one grain that interleave: each waits here for its turn, on the grain's scheduler.
/// </summary>
internal sealed class Turns
{
    private TaskCompletionSource? taken;

    /// <summary>Waits for the turn, and takes it until the result is disposed.</summary>
    public async ValueTask<Turn> TakeAsync()
    {
        while (taken is { } other)
        {
            await other.Task;
        }

        taken = new(TaskCreationOptions.RunContinuationsAsynchronously);
        return new(this);
    }

    private void End()
    {
        taken?.SetResult();
        taken = null;
    }

    public readonly struct Turn(Turns turns) : IDisposable
    {
        public void Dispose() => turns.End();
    }
}
