namespace Recognize.Orleans.Fixtures;

/// <summary>A count that others can wait for.</summary>
internal sealed class Progress
{
    private readonly Lock gate = new();
    private readonly List<(int Count, TaskCompletionSource Reached)> awaited = [];

    public int Count { get; private set; }

    public void Step()
    {
        lock (gate)
        {
            Count++;
            foreach (var (_, reached) in awaited.Where(one => one.Count <= Count))
            {
                reached.TrySetResult();
            }
        }
    }

    /// <summary>Completes after that many more steps.</summary>
    public Task AdvancesBy(int steps)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            awaited.Add((Count + steps, reached));
        }

        return reached.Task.WaitAsync(ServiceProcess.Patience);
    }
}
