namespace Recognize.Orleans.Fixtures;

/// <summary>Does one thing after another, where tests must not do them all at once. The first that fails is the last.</summary>
internal static class InOrder
{
    public static async Task ForEachAsync<T>(IEnumerable<T> items, Func<T, Task> act)
    {
        foreach (var item in items)
        {
            await act(item);
        }
    }

    public static async Task RepeatAsync(int times, Func<Task> act)
    {
        for (var count = 0; count < times; count++)
        {
            await act();
        }
    }

    /// <summary>Repeats until something else has ended, and once more after that.</summary>
    public static async Task RepeatUntilAsync(Task end, Func<Task> act)
    {
        bool ended;
        do
        {
            ended = end.IsCompleted;
            await act();
        }
        while (!ended);
    }
}
