namespace Recognize.Orleans.Benchmarks;

/// <summary>What a server, or several that share the load, did in one round. Processor times are per iteration.</summary>
internal sealed record Round(double PerSecond, double P50Milliseconds, double P99Milliseconds, double? CpuMicroseconds, double? DatabaseCpuMicroseconds)
{
    /// <summary>Of the balancer, which is not counted into the servers'.</summary>
    public double? BalancerCpuMicroseconds { get; init; }

    /// <summary>What the silos sent each other for it.</summary>
    public double? SiloBytes { get; init; }
}

/// <summary>Somebody who is measured: one server or several that share the load, and what they are sent.</summary>
internal sealed record Entry(string Name, IReadOnlyList<Server> Servers, IReadOnlyList<Step> Steps)
{
    /// <summary>What stands before the servers and takes all requests; null: they are sent to the servers.</summary>
    public Balancer? Balancer { get; init; }

    public IReadOnlyList<IDoor> Doors => Balancer is null ? Servers : [Balancer];
}

/// <summary>All entries are warmed up one after the other, then measured in turn, so that what else the machine does hits all alike.</summary>
internal static class Rounds
{
    /// <param name="what">What is measured, for the progress that is shown.</param>
    /// <param name="entries">Who is measured.</param>
    /// <param name="connections">Of each entry.</param>
    /// <param name="most">Iterations of a round at most, twice as many of a warm-up.</param>
    /// <param name="options">How long and how often.</param>
    /// <param name="isOver">Whether that which is measured came to an end: then the round of all entries that has just been does not count, and is the last. Null: it has none.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>The rounds of each entry, in the order of the entries.</returns>
    public static async Task<IReadOnlyList<IReadOnlyList<Round>>> MeasureAsync(
        string what, IReadOnlyList<Entry> entries, int connections, int? most, Options options, Func<Task<bool>>? isOver, CancellationToken cancellationToken)
    {
        foreach (var entry in entries)
        {
            await Console.Error.WriteLineAsync($"{what}, {connections} connections: warming up {entry.Name}");
            await LoadGenerator.RunAsync(entry.Doors, entry.Steps, connections, LoadGenerator.For(options.WarmUp, most * 2), cancellationToken);
        }

        var rounds = entries.Select(_ => new List<Round>()).ToList();
        for (var round = 1; round <= options.Rounds; round++)
        {
            foreach (var (entry, measured) in entries.Zip(rounds))
            {
                measured.Add(await MeasureAsync(entry, connections, most, options, cancellationToken));
                await Console.Error.WriteLineAsync($"{what}, round {round}: {entry.Name} {measured[^1].PerSecond:F0}/s");
            }

            if (isOver is not null && await isOver())
            {
                rounds.ForEach(measured => measured.RemoveAt(measured.Count - 1));
                break;
            }
        }

        return rounds;
    }

    /// <summary>One round of one entry.</summary>
    public static async Task<Round> MeasureAsync(Entry entry, int connections, int? most, Options options, CancellationToken cancellationToken)
    {
        var database = entry.Servers[0].Database.Cpu;
        var bytesBefore = entry.Balancer is null ? null : SiloTraffic.Bytes(entry.Servers);
        var (before, databaseBefore, balancerBefore) = (CpuTime(), database?.Total(), entry.Balancer?.CpuTime());
        var load = await LoadGenerator.RunAsync(entry.Doors, entry.Steps, connections, LoadGenerator.For(options.Round, most), cancellationToken);
        var (after, databaseAfter, balancerAfter) = (CpuTime(), database?.Total(), entry.Balancer?.CpuTime());
        return new Round(
            load.Latency.Count / load.Elapsed.TotalSeconds,
            load.Latency.Percentile(50).TotalMilliseconds,
            load.Latency.Percentile(99).TotalMilliseconds,
            (after - before)?.TotalMicroseconds / load.Latency.Count,
            (databaseAfter - databaseBefore)?.TotalMicroseconds / load.Latency.Count)
        {
            SiloBytes = (double?)(SiloTraffic.Bytes(entry.Servers) - bytesBefore) / load.Latency.Count,
            BalancerCpuMicroseconds = (balancerAfter - balancerBefore)?.TotalMicroseconds / load.Latency.Count,
        };

        TimeSpan? CpuTime() => entry.Servers.Aggregate((TimeSpan?)TimeSpan.Zero, (sum, server) => sum + server.CpuTime());
    }
}
