using System.Diagnostics;

namespace Recognize.Orleans.Fixtures;

/// <summary>Clients that call all at once, each the next time when it has its answer.</summary>
internal static class Load
{
    /// <summary>Starts the clients; each goes on until it is told to stop or a call fails.</summary>
    /// <param name="clients">How many.</param>
    /// <param name="call">Is given the number of the client and that of its call.</param>
    /// <param name="end">Ends no call that has begun.</param>
    public static List<Task> Start(int clients, Func<int, int, Task> call, CancellationToken end) =>
        [.. Enumerable.Range(0, clients).Select(client => Task.Run(() => CallAsync(count => call(client, count), end), CancellationToken.None))];

    /// <summary>Begins so many calls a second, whatever becomes of those before, and completes when the last has its answer.</summary>
    public static async Task Pace(int perSecond, Func<Task> call, CancellationToken end)
    {
        var calls = new List<Task>();
        var started = Stopwatch.GetTimestamp();
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        while (!end.IsCancellationRequested)
        {
            await timer.WaitForNextTickAsync(CancellationToken.None);
            var due = (int)(Stopwatch.GetElapsedTime(started).TotalSeconds * perSecond);
            calls.AddRange(Enumerable.Range(calls.Count, Math.Max(due - calls.Count, 0)).Select(_ => Task.Run(call, CancellationToken.None)));
        }

        await Task.WhenAll(calls);
    }

    private static async Task CallAsync(Func<int, Task> call, CancellationToken end)
    {
        for (var count = 0; !end.IsCancellationRequested; count++)
        {
            await call(count);
        }
    }
}
