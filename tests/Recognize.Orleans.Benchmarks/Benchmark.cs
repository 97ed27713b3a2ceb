namespace Recognize.Orleans.Benchmarks;

/// <summary>The order of a run: per engine the servers together, per scenario a warm-up and then rounds in turn.</summary>
internal sealed class Benchmark(Options options)
{
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var results = new List<Result>();
        foreach (var engine in options.Engines)
        {
            results.AddRange(await MeasureEngineAsync(engine, cancellationToken));
        }

        var report = new Report(options, new Results(results));
        report.Write(Console.Out);
        await report.WriteFilesAsync(cancellationToken);
    }

    private async Task<List<Result>> MeasureEngineAsync(string engine, CancellationToken cancellationToken)
    {
        await using var servers = new ServerGroup();
        IEnumerable<Contestant> contestants = options.Against is { } path ? [.. Contestant.All, .. Contestant.Other(path)] : Contestant.All;
        foreach (var contestant in contestants.Where(contestant => options.Servers.Contains(contestant.Letter)))
        {
            await servers.AddAsync(Server.StartAsync(contestant, engine, options, cancellationToken));
        }

        var results = new List<Result>();
        foreach (var scenario in Scenario.All.Where(scenario => options.Scenarios.Any(scenario.Name.StartsWith)))
        {
            foreach (var connections in options.Connections)
            {
                var taking = servers.All.Where(server => !server.Contestant.Without.Contains(scenario.Name)).ToList();
                results.AddRange(await MeasureAsync(engine, scenario, connections, taking, cancellationToken));
            }
        }

        return results;
    }

    private async Task<IEnumerable<Result>> MeasureAsync(string engine, Scenario scenario, int connections, List<Server> servers, CancellationToken cancellationToken)
    {
        var entries = new List<Entry>();
        foreach (var server in servers)
        {
            await Console.Error.WriteLineAsync($"{engine}, {scenario.Name}: preparing {server.Contestant.Name}");
            entries.Add(new(server.Contestant.Name, [server], await scenario.PrepareAsync(server, options, cancellationToken)));
        }

        var rounds = await Rounds.MeasureAsync($"{engine}, {scenario.Name}", entries, connections, scenario.Most, options, isOver: null, cancellationToken);
        return servers.Zip(rounds, (server, measured) => new Result(engine, scenario.Name, connections, server.Contestant.Letter, server.Contestant.Name, measured));
    }
}

/// <summary>Servers that run together and end together, in whatever state the start of one of them left them.</summary>
internal sealed class ServerGroup : IAsyncDisposable
{
    private readonly List<Server> servers = [];

    public IReadOnlyList<Server> All => servers;

    public async Task<Server> AddAsync(Task<Server> starting)
    {
        servers.Add(await starting);
        return servers[^1];
    }

    // The last one first: the first may own the database of the others.
    public async ValueTask DisposeAsync()
    {
        foreach (var server in Enumerable.Reverse(servers))
        {
            await server.DisposeAsync();
        }
    }
}
