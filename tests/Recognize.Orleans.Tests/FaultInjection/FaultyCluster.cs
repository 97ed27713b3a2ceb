using System.Collections.Concurrent;
using System.Net;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.FaultInjection;

/// <summary>Service processes, each behind a network of its own, that are disturbed at random and healed at the end.</summary>
internal sealed class FaultyCluster : IAsyncDisposable
{
    /// <summary>How many there are on PostgreSQL.</summary>
    public const int Silos = 3;

    // About as long as the others need to give up a silo.
    private static readonly TimeSpan VoteTime = TimeSpan.FromSeconds(3);

    // Texts in what is written of an operation: of any, or of one that comes to its end.
    private static readonly string[] Written = ["\"status\":", "\"pending\"", "\"approved\"", "\"approved\"", "\"denied\"", "\"cancelled\""];

    private readonly TestDatabase database;
    private readonly Random random;
    private readonly Func<TimeSpan> now;
    private readonly Node[] nodes;
    private readonly ConcurrentQueue<string> disturbances = [];

    private FaultyCluster(TestDatabase database, Node[] nodes, Random random, Func<TimeSpan> now) =>
        (this.database, this.nodes, this.random, this.now) = (database, nodes, random, now);

    /// <summary>What was done to the cluster, and when.</summary>
    public IReadOnlyCollection<string> Disturbances => disturbances;

    public IEnumerable<ServiceProcess> Services => nodes.Select(node => node.Service);

    /// <summary>What the services have written, those that run no more included.</summary>
    public IEnumerable<string> Output => nodes.SelectMany(node => node.Output, (node, line) => $"{node.Name}: {line}");

    /// <summary>Several silos on PostgreSQL, one on SQLite.</summary>
    public static async Task<FaultyCluster> StartAsync(TestDatabase database, int seed, Func<TimeSpan> now)
    {
        var nodes = database.Engine is StorageEngine.Sqlite
            ? [new Node("node-1", database, null, new ShiftedClock())]
            : Enumerable.Range(1, Silos).Select(number => new Node($"node-{number}", database, new DatabaseProxy(database), null)).ToArray();
        var cluster = new FaultyCluster(database, nodes, new Random(seed), now);
        try
        {
            await Task.WhenAll(nodes.Select(node => node.StartAsync()));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Does one thing after the other, two at a time at most, until it is ended and all of them are over.</summary>
    public async Task DisturbAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            // A node that is alone must also serve, before its first disturbance as well.
            await Task.Delay(nodes.Length == 1 ? random.Next(1_000, 3_000) : random.Next(200, 1_500), CancellationToken.None);
            var free = nodes.Where(node => node.Disturbance.IsCompleted).ToList();
            if (free.Count > nodes.Length - 2 && free.Count > 0)
            {
                var node = free[random.Next(free.Count)];
                node.Disturbance = Disturb(node);

                // On a slow machine a restart takes longer than the time to the next disturbance.
                await (nodes.Length == 1 ? node.Disturbance : Task.CompletedTask);
            }
        }

        await Task.WhenAll(nodes.Select(node => node.Disturbance));
    }

    /// <summary>Returns when every node is there and whatever an activation may remember has grown too old.</summary>
    public async Task HealAsync()
    {
        await Task.WhenAll(nodes.Select(node => node.ReadyAsync()));
        await Task.Delay(AnswerChecker.Bound);
        await Task.WhenAll(nodes.Select(node => node.ReadyAsync()));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in nodes)
        {
            await node.DisposeAsync();
        }
    }

    private Task Disturb(Node node)
    {
        var time = TimeSpan.FromMilliseconds(random.Next(300, 9_000));
        var pause = TimeSpan.FromMilliseconds(random.Next(0, 800));
        var session = new Random(random.Next());
        var written = Written[random.Next(Written.Length)];
        var isCut = random.Next(4) > 0;
        var offset = TimeSpan.FromSeconds(Math.Pow(10, random.NextDouble() * 4) * (random.Next(2) * 2 - 1));
        return (node.Proxy is null, random.Next(11)) switch
        {
            (true, < 3) => Do(node, "killed", TimeSpan.Zero, node.RestartAsync),
            (true, < 6) => Do(node, "frozen", time / 2, () => node.FreezeAsync(time / 2)),
            (true, _) => Do(node, $"its clock set by {offset.TotalSeconds:F0} s", TimeSpan.Zero, () => node.SetClock(offset)),
            (_, < 5) => Do(node, $"the next write of {written} {(isCut ? "cut and " : "")}delivered late", time, () => node.DeliverLateAsync(written, isCut, pause, time)),
            (_, 5) => Do(node, "a slow network", time / 2, () => node.SlowDownAsync(pause / 4, time / 2)),
            (_, 6) => Do(node, "a silent network", time / 2, () => node.GoSilentAsync(time / 2)),
            (_, 7) => Do(node, "a session of the database frozen", time / 2, () => FrozenSession.FreezeOneAsync(database, session, time / 2)),
            (_, 8) => Do(node, "killed", TimeSpan.Zero, node.RestartAsync),
            _ => Do(node, "frozen", time + VoteTime, () => node.FreezeAsync(time + VoteTime)),
        };
    }

    private async Task Do(Node node, string what, TimeSpan time, Func<Task> disturb)
    {
        var begin = now();
        await disturb();
        await node.RestartIfGoneAsync();
        disturbances.Enqueue(FormattableString.Invariant($"{begin.TotalSeconds:F3}-{now().TotalSeconds:F3} s, {node.Name}: {what} ({time.TotalSeconds:F1} s)"));
    }

    private sealed class Node(string name, TestDatabase database, DatabaseProxy? proxy, ShiftedClock? clock) : IAsyncDisposable
    {
        private readonly (string, string)[] settings = [.. clock?.Settings ?? [], .. proxy is null ? Array.Empty<(string, string)>() : [("ConnectionStrings:Recognize", proxy.ConnectionString)]];
        private readonly List<string> former = [];
        private ServiceProcess? service;

        public string Name => name;

        public DatabaseProxy? Proxy => proxy;

        public ServiceProcess Service => service!;

        public Task Disturbance { get; set; } = Task.CompletedTask;

        public IEnumerable<string> Output => [.. former, .. Service.Output];

        public async Task StartAsync() => service = await ServiceProcess.StartAsync(database, name, settings);

        public async Task RestartAsync()
        {
            await Service.KillAsync();
            await RestartIfGoneAsync();
        }

        public async Task RestartIfGoneAsync()
        {
            if (Service.HasExited)
            {
                await Service.DisposeAsync();
                former.AddRange(Service.Output);
                service = await ServiceProcess.StartInPlaceOfAsync(Service, database, settings);
            }
        }

        public async Task ReadyAsync()
        {
            var patience = Task.Delay(ServiceProcess.Patience);
            while (!patience.IsCompleted)
            {
                await RestartIfGoneAsync();
                try
                {
                    using var answer = await Service.Management.GetAsync("/health/ready");

                    // A node whose clock was set serves on, but wants no new traffic until that is made up.
                    if (answer.StatusCode is HttpStatusCode.OK || (await answer.Content.ReadAsStringAsync()).Contains("clock", StringComparison.Ordinal))
                    {
                        return;
                    }
                }
                catch (HttpRequestException)
                {
                }

                await Task.Delay(100);
            }

            throw new InvalidOperationException($"{name} does not recover:\n{string.Join('\n', Service.Output)}");
        }

        public async Task FreezeAsync(TimeSpan time)
        {
            await Service.FreezeAsync();
            await Task.Delay(time);
            await Service.ThawAsync();
        }

        public Task SetClock(TimeSpan offset)
        {
            clock!.Set(offset);
            return Task.CompletedTask;
        }

        public async Task DeliverLateAsync(string written, bool isCut, TimeSpan pause, TimeSpan time)
        {
            var write = proxy!.HoldNext(written);
            await Task.WhenAny(write.Caught, Task.Delay(1_500));
            proxy.Forget(write);
            if (write.Caught.IsCompletedSuccessfully)
            {
                await Task.Delay(pause);
                if (isCut)
                {
                    write.Cut();
                }

                await Task.Delay(time);
                await write.DeliverAsync();
            }
        }

        public async Task SlowDownAsync(TimeSpan delay, TimeSpan time)
        {
            proxy!.Delay(delay, delay);
            await Task.Delay(time);
            proxy.GoOn();
        }

        public async Task GoSilentAsync(TimeSpan time)
        {
            proxy!.GoSilent();
            await Task.Delay(time);
            proxy.GoOn();
        }

        public async ValueTask DisposeAsync()
        {
            if (service is not null)
            {
                await service.DisposeAsync();
            }

            if (proxy is not null)
            {
                await proxy.DisposeAsync();
            }

            clock?.Dispose();
        }
    }
}
