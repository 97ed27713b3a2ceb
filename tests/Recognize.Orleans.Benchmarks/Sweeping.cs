using System.Diagnostics;
using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What creates notice of a sweep that removes many operations, and how long it takes.</summary>
internal sealed class Sweeping(Options options)
{
    private const int Connections = 64;
    private const string Removed = "SELECT count(*) FROM OrleansStorage WHERE HistoryKey > '~'";

    private static readonly Contestant Sweeper = Contestant.Shipped with
    {
        Name = "service with a retention",
        Command = launch => launch.Service(Launch.BuiltService(), ("Recognize__Operations__Retention", "01:00:00")),
    };

    private readonly List<object> sweeps = [];
    private readonly List<TargetResult> targets = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in options.Engines)
        {
            await MeasureAsync(engine, cancellationToken);
        }

        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { sweeps, targets }, cancellationToken);
    }

    private async Task MeasureAsync(string engine, CancellationToken cancellationToken)
    {
        await using var database = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
        await using (var filling = await Server.StartAsync(Contestant.Shipped, database, cancellationToken))
        {
            await Console.Error.WriteLineAsync($"{engine}: {options.Operations} operations that ended long ago");
            await Seed.InsertAsync(filling, "old", 0, options.Operations, cancellationToken);
        }

        // It sweeps as soon as it runs.
        await using var server = await Server.StartAsync(Sweeper, database, cancellationToken);
        var load = Scenario.Creates("meanwhile", 0xA1D7_0000_0000);
        await LoadGenerator.RunAsync([server], load, Connections, LoadGenerator.For(options.WarmUp), cancellationToken);
        var (during, afterwards) = (new List<Load>(), new List<Load>());
        var (first, begun) = (await RemovedAsync(database, cancellationToken), Stopwatch.GetTimestamp());
        var (removed, elapsed) = (first, TimeSpan.Zero);
        while (during.Count < options.Rounds && removed < options.Operations)
        {
            var round = await RoundAsync();
            (removed, elapsed) = (await RemovedAsync(database, cancellationToken), Stopwatch.GetElapsedTime(begun));
            if (removed < options.Operations)
            {
                during.Add(round);
            }
        }

        if (during.Count == 0)
        {
            throw new BenchmarkException($"The sweep was over before a round was: ask for more than {options.Operations} --operations or a shorter --warmup.");
        }

        while (await RemovedAsync(database, cancellationToken) < options.Operations)
        {
            await Task.Delay(TimeSpan.FromSeconds(1), cancellationToken);
        }

        while (afterwards.Count < during.Count)
        {
            afterwards.Add(await RoundAsync());
        }

        var rate = (removed - first) / elapsed.TotalSeconds;
        var (p99, p99After) = (Median(during, round => round.Latency.Percentile(99).TotalMilliseconds), Median(afterwards, round => round.Latency.Percentile(99).TotalMilliseconds));
        var (creates, createsAfter) = (Median(during, round => round.Latency.Count / round.Elapsed.TotalSeconds), Median(afterwards, round => round.Latency.Count / round.Elapsed.TotalSeconds));
        Console.WriteLine(FormattableString.Invariant(
            $"{engine}, while {rate:F0} operations/s of {options.Operations:N0} are removed: {creates:N0} creates/s, p99 {p99:F2} ms; afterwards {createsAfter:N0}/s, {p99After:F2} ms ({during.Count} rounds each)\n"));
        sweeps.Add(new { engine, options.Operations, rate, creates, createsAfter, p99, p99After, rounds = during.Count });
        targets.Add(new(engine, "p99 of creates during a sweep / afterwards", Connections, "≤ 1.2", p99 / p99After, p99 / p99After <= 1.2));

        Task<Load> RoundAsync() => LoadGenerator.RunAsync([server], load, Connections, LoadGenerator.For(options.Round), cancellationToken);
    }

    private static async Task<long> RemovedAsync(BenchmarkDatabase database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = Removed;
        return Convert.ToInt64(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture);
    }

    private static double Median(IEnumerable<Load> rounds, Func<Load, double> figure) => rounds.Select(figure).Order().ToList() is var sorted ? sorted[sorted.Count / 2] : 0;
}
