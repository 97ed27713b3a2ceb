using System.Collections.Concurrent;

namespace Recognize.Orleans.Fixtures;

/// <summary>Clients that each follow the pending operations of one user, and connect again whenever their stream ends.</summary>
internal sealed class Followers : IAsyncDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly ApiClient api;
    private readonly CancellationTokenSource end = new();
    private readonly ConcurrentBag<string> failed = [];
    private readonly ConcurrentDictionary<(string User, string Id), TaskCompletionSource> seen = [];
    private readonly Task following;
    private int connections;

    private Followers(ApiClient api, IReadOnlyList<string> users)
    {
        this.api = api;
        Users = users;
        following = Task.WhenAll(users.Select(FollowAsync));
    }

    public IReadOnlyList<string> Users { get; }

    /// <summary>What a stream was answered other than 200.</summary>
    public IReadOnlyCollection<string> Failed => failed;

    /// <summary>How often a stream was opened.</summary>
    public int Connections => connections;

    /// <summary>Starts so many, each of a user of its own, and returns when all of them are connected.</summary>
    public static async Task<Followers> StartAsync(ApiClient api, int count)
    {
        var users = Enumerable.Range(0, count).Select(_ => ApiClient.NewUser()).ToList();
        var followers = new Followers(api, users);
        try
        {
            await Task.WhenAll(users.Select(user => followers.SeesAsync(user, "")));
            return followers;
        }
        catch
        {
            await followers.DisposeAsync();
            throw;
        }
    }

    /// <summary>Completes when a user's stream has shown the operation.</summary>
    public Task SeesAsync(string user, string id) => Seen(user, id).Task.WaitAsync(ServiceProcess.Patience);

    public async ValueTask DisposeAsync()
    {
        await end.CancelAsync();
        await following;
        end.Dispose();
    }

    private async Task FollowAsync(string user)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                using var stream = await api.FollowAsync(user);
                Interlocked.Increment(ref connections);
                await (stream.Status is 200 ? ShowAsync(user, stream) : throw new HttpRequestException($"It was answered {stream.Status}."));
            }
            catch (Exception) when (end.IsCancellationRequested)
            {
                return;
            }
            catch (Exception refused) when (refused is HttpRequestException or OperationCanceledException or TimeoutException)
            {
                failed.Add($"A stream: {refused.Message}");
            }

            // Clients of event streams wait before they connect again, browsers for seconds.
            await Task.Delay(Pause);
        }
    }

    private async Task ShowAsync(string user, EventStream stream)
    {
        await using var closing = end.Token.Register(stream.Dispose);
        try
        {
            while (await stream.NextAsync() is { Count: > 0 } lines)
            {
                Show(user, lines);
            }
        }
        catch (Exception cut) when (cut is IOException or HttpRequestException)
        {
            // The balancer has lost it with its silo: it is followed again.
        }
    }

    private void Show(string user, IReadOnlyList<string> lines)
    {
        Seen(user, "").TrySetResult();
        var data = string.Concat(lines.Where(line => line.StartsWith("data: ", StringComparison.Ordinal)));
        foreach (var (key, reached) in seen.Where(one => one.Key.User == user && data.Contains($"\"{one.Key.Id}\"", StringComparison.Ordinal)))
        {
            reached.TrySetResult();
        }
    }

    private TaskCompletionSource Seen(string user, string id) =>
        seen.GetOrAdd((user, id), _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
}
