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

    private static async Task CallAsync(Func<int, Task> call, CancellationToken end)
    {
        for (var count = 0; !end.IsCancellationRequested; count++)
        {
            await call(count);
        }
    }
}
