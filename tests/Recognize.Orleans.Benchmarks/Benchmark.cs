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

        var report = new Report(options, results);
        report.WriteTable(Console.Out);
        if (options.Json is { } file)
        {
            await report.WriteJsonAsync(file, cancellationToken);
        }
    }

    private async Task<List<Result>> MeasureEngineAsync(string engine, CancellationToken cancellationToken)
    {
        var servers = new List<Server>();
        try
        {
            foreach (var contestant in options.Against is { } path ? [.. Contestant.All, Contestant.Other(path)] : Contestant.All)
            {
                servers.Add(await Server.StartAsync(contestant, engine, options, cancellationToken));
            }

            var results = new List<Result>();
            foreach (var scenario in Scenario.All.Where(scenario => options.Scenarios.Any(scenario.Name.StartsWith)))
            {
                foreach (var connections in options.Connections)
                {
                    results.AddRange(await MeasureAsync(engine, scenario, connections, servers, cancellationToken));
                }
            }

            return results;
        }
        finally
        {
            foreach (var server in servers)
            {
                await server.DisposeAsync();
            }
        }
    }

    private async Task<IEnumerable<Result>> MeasureAsync(string engine, Scenario scenario, int connections, List<Server> servers, CancellationToken cancellationToken)
    {
        foreach (var server in servers)
        {
            await Console.Error.WriteLineAsync($"{engine}, {scenario.Name}, {connections} connections: warming up {server.Contestant.Name}");
            await scenario.Prepare(server, cancellationToken);
            await LoadGenerator.RunAsync(server, scenario.Steps, connections, LoadGenerator.For(options.WarmUp), cancellationToken);
        }

        var rounds = servers.ToDictionary(server => server, _ => new List<Round>());
        for (var round = 1; round <= options.Rounds; round++)
        {
            foreach (var server in servers)
            {
                var measured = await MeasureRoundAsync(server, scenario, connections, cancellationToken);
                rounds[server].Add(measured);
                await Console.Error.WriteLineAsync($"{engine}, {scenario.Name}, round {round}: {server.Contestant.Name} {measured.PerSecond:F0}/s");
            }
        }

        return servers.Select(server => new Result(engine, scenario.Name, connections, server.Contestant.Letter, server.Contestant.Name, rounds[server]));
    }

    private async Task<Round> MeasureRoundAsync(Server server, Scenario scenario, int connections, CancellationToken cancellationToken)
    {
        var before = server.CpuTime();
        var load = await LoadGenerator.RunAsync(server, scenario.Steps, connections, LoadGenerator.For(options.Round), cancellationToken);
        var after = server.CpuTime();
        return new Round(
            load.Latency.Count / load.Elapsed.TotalSeconds,
            load.Latency.Percentile(50).TotalMilliseconds,
            load.Latency.Percentile(99).TotalMilliseconds,
            (after - before)?.TotalMicroseconds / load.Latency.Count);
    }
}
