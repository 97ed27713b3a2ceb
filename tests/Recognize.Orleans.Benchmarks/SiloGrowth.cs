namespace Recognize.Orleans.Benchmarks;

/// <summary>What three silos behind a balancer cost more than one behind the same balancer, also after a rolling restart.</summary>
internal sealed class SiloGrowth(string engine, Options options)
{
    private const int Silos = 3;
    private const string One = "1";
    private const string Hashing = "3";

    // Few enough that each is asked several times between the two measurements after a restart.
    private const int Users = 5_000;

    private static readonly TimeSpan RightAfter = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Later = TimeSpan.FromMinutes(2);

    private readonly List<Result> results = [];
    private readonly List<TargetResult> targets = [];

    public IReadOnlyList<TargetResult> Targets => targets;

    public async Task MeasureAsync(CancellationToken cancellationToken)
    {
        await using var one = await StartAsync(One, "1 silo", Policy.Hashing, [Contestant.Shipped], cancellationToken);
        await using var blind = await StartAsync("2", $"{Silos} silos, blind", Policy.Blind, Shipped(), cancellationToken);
        await using var hashing = await StartAsync(Hashing, $"{Silos} silos, hashing", Policy.Hashing, Shipped(), cancellationToken);

        // As many processes and groups of writes, and no call between them: what is left is what silos say to each other.
        await using var apart = await StartAsync("4", $"{Silos} services of 1 silo, hashing", Policy.Hashing, [.. Enumerable.Range(1, Silos).Select(Contestant.Apart)], cancellationToken);

        await CompareAsync(Scenario.Create, [one, blind, hashing, apart], _ => Task.FromResult(Scenario.Creates("spread", 0xA1D3_0000_0000)), new(1.7, IsLeast: false), new Bound(2, IsLeast: false));

        // An operation is asked for at another service than the one that has created it.
        await CompareAsync(Scenario.Warm, [one, blind, hashing], server => Scenario.PrepareWarmAsync(server, options, cancellationToken), new(1.5, IsLeast: false), databaseCpu: null);
        await CompareAsync(Scenario.List, [one, blind, hashing, apart], server => Scenario.PrepareListAsync(server, options, cancellationToken), new(1.2, IsLeast: false), databaseCpu: null);

        async Task CompareAsync(string what, IReadOnlyList<Group> groups, Func<Server, Task<IReadOnlyList<Step>>> prepare, Bound cpu, Bound? databaseCpu)
        {
            var steps = new List<IReadOnlyList<Step>>();
            foreach (var group in groups)
            {
                steps.Add(await prepare(group.Servers[0]));
            }

            foreach (var connections in options.Connections)
            {
                var full = await MeasureAsync(what, groups, steps, connections, options.WarmedUpFor(TimeSpan.FromMinutes(1)), cancellationToken);
                Require($"CPU of {what}", full, Figure.Cpu, cpu);
                Require($"database CPU of {what}", full, Figure.DatabaseCpu, databaseCpu);

                // As fast as each can be, they are compared at different loads; a process that is idle now and then costs more per request.
                var rate = (int)(full[0].Median(Figure.PerSecond)!.Value / 2);
                await MeasureAsync($"{what}, {rate}/s", groups, [.. steps.Select(step => Paced(step, rate))], connections, options.WarmedUpForAtMost(TimeSpan.FromSeconds(5)), cancellationToken);
            }
        }
    }

    public async Task RestartAsync(CancellationToken cancellationToken)
    {
        const string What = "create";
        await using var one = await StartAsync(One, "1 silo", Policy.Hashing, [Contestant.Shipped], cancellationToken);
        await using var hashing = await StartAsync(Hashing, $"{Silos} silos, hashing", Policy.Hashing, Shipped(), cancellationToken);
        await using var other = options.Against is { } path
            ? await StartAsync(Contestant.OtherLetter, $"{Silos} silos of the other build, hashing", Policy.Hashing, [.. Enumerable.Repeat(Contestant.Other(path)[0], Silos)], cancellationToken)
            : null;
        List<Group> groups = other is null ? [one, hashing] : [one, hashing, other];
        var steps = groups.Select(_ => Scenario.Creates("rolled", 0xA1D8_0000_0000, Users)).ToList();
        var connections = options.Connections[0];
        var before = await MeasureAsync($"{What} before a rolling restart", groups, steps, connections, options.WarmedUpFor(TimeSpan.FromMinutes(1)), cancellationToken);
        var rate = (int)(before[0].Median(Figure.PerSecond)!.Value / 2);
        foreach (var (group, step) in groups.Zip(steps))
        {
            await Console.Error.WriteLineAsync($"{engine}: restarting {group.Name}");
            await RestartUnderLoadAsync(group, Paced(step, rate), connections, cancellationToken);
        }

        await MeasureAsync($"{What} right after it", groups, steps, connections, options.WarmedUpForAtMost(RightAfter), cancellationToken);
        await MeasureAsync($"{What} later", groups, steps, connections, options.WarmedUpFor(Later), cancellationToken);
    }

    public object ToJson() => new
    {
        engine,
        results = results.Select(result => new
        {
            result.Scenario,
            result.Connections,
            result.Server,
            perSecond = result.Median(Figure.PerSecond),
            cpuMicroseconds = result.Median(Figure.Cpu),
            cpuRatio = Ratio(result, Figure.Cpu),
            databaseCpuMicroseconds = result.Median(Figure.DatabaseCpu),
            databaseCpuRatio = Ratio(result, Figure.DatabaseCpu),
            balancerCpuMicroseconds = result.Median(Figure.BalancerCpu),
            siloBytes = result.Median(Figure.SiloBytes),
            result.Rounds,
        }),
    };

    public void WriteTable(TextWriter writer)
    {
        writer.WriteLine("| engine | what | connections | behind nginx | iterations/s | p99 ms | CPU µs | x 1 silo | database CPU µs | x 1 silo | nginx CPU µs | bytes between silos |");
        writer.WriteLine("|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        foreach (var result in results)
        {
            writer.WriteLine($"| {engine} | {result.Scenario} | {result.Connections} | {result.Server} | {result.Spread(Figure.PerSecond, "N0")} | {result.Spread(Figure.P99, "F1")} | {result.Spread(Figure.Cpu, "F0")} | {Text(Ratio(result, Figure.Cpu))} | {result.Spread(Figure.DatabaseCpu, "F0")} | {Text(Ratio(result, Figure.DatabaseCpu))} | {result.Spread(Figure.BalancerCpu, "F0")} | {result.Spread(Figure.SiloBytes, "N0")} |");
        }

        writer.WriteLine();

        static string Text(double? ratio) => ratio is { } number && double.IsFinite(number) ? FormattableString.Invariant($"{number:F2}") : "–";
    }

    private static Contestant[] Shipped() => [.. Enumerable.Repeat(Contestant.Shipped, Silos)];

    private static IReadOnlyList<Step> Paced(IReadOnlyList<Step> steps, int rate) => [steps[0] with { Pace = new(rate) }, .. steps.Skip(1)];

    private static async Task RestartUnderLoadAsync(Group group, IReadOnlyList<Step> steps, int connections, CancellationToken cancellationToken)
    {
        var isOver = false;
        var load = LoadGenerator.RunAsync([group.Balancer], [.. steps.Select(step => step with { MayFail = true })], connections, _ => !Volatile.Read(ref isOver), cancellationToken);
        foreach (var server in group.Servers)
        {
            await server.RestartAsync(cancellationToken);
        }

        Volatile.Write(ref isOver, true);
        await load;
    }

    private async Task<IReadOnlyList<Result>> MeasureAsync(string what, IReadOnlyList<Group> groups, IReadOnlyList<IReadOnlyList<Step>> steps, int connections, Options howLong, CancellationToken cancellationToken)
    {
        var entries = groups.Zip(steps, (group, step) => new Entry(group.Name, group.Servers, step) { Balancer = group.Balancer }).ToList();
        var rounds = await Rounds.MeasureAsync($"{engine}, {what}", entries, connections, most: null, howLong, isOver: null, cancellationToken);
        var measured = groups.Zip(rounds, (group, ofGroup) => new Result(engine, what, connections, group.Letter, group.Name, ofGroup)).ToList();
        results.AddRange(measured);
        return measured;
    }

    private void Require(string what, IReadOnlyList<Result> measured, Func<Round, double?> figure, Bound? bound)
    {
        var several = measured.Single(result => result.Letter is Hashing);
        if (bound is not null && Ratio(several, figure) is { } ratio)
        {
            targets.Add(new(engine, $"{what}: {several.Server} / {measured[0].Server}", several.Connections, bound.ToString(), ratio, bound.IsMetBy(ratio)));
        }
    }

    private double? Ratio(Result result, Func<Round, double?> figure) => new Results(results).Ratio(result, One, figure);

    private async Task<Group> StartAsync(string letter, string name, Policy policy, Contestant[] contestants, CancellationToken cancellationToken)
    {
        var servers = new ServerGroup();
        try
        {
            var first = await servers.AddAsync(Server.StartAsync(contestants[0], engine, options, cancellationToken));
            foreach (var contestant in contestants.Skip(1))
            {
                await servers.AddAsync(Server.StartAsync(contestant, first.Database, cancellationToken, first.ApiKey));
            }

            var balancer = await Balancer.StartAsync(servers.All, policy, cancellationToken);
            first.Door = balancer;
            return new(letter, name, servers, balancer);
        }
        catch
        {
            await servers.DisposeAsync();
            throw;
        }
    }

    /// <summary>Servers that share a database and a key, and what stands before them.</summary>
    private sealed class Group(string letter, string name, ServerGroup servers, Balancer balancer) : IAsyncDisposable
    {
        public string Letter => letter;

        public string Name => name;

        public IReadOnlyList<Server> Servers => servers.All;

        public Balancer Balancer => balancer;

        public async ValueTask DisposeAsync()
        {
            await balancer.DisposeAsync();
            await servers.DisposeAsync();
        }
    }
}
