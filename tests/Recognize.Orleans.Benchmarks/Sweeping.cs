using System.Diagnostics;
using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>
/// What creates notice of a sweep that removes much, and how fast it is. A server that sweeps and one that does not are loaded in turn:
/// users' lists grow with every create, so that after the sweep even the same server would be slower.
/// </summary>
internal sealed class Sweeping(Options options)
{
    private const int Connections = 64;
    private const string Tombstones = "SELECT count(*) FROM OrleansStorage WHERE HistoryKey > '~'";

    // Long over for what is seeded, and not yet for the tombstones that the sweep itself leaves.
    private static readonly Contestant Sweeper = Contestant.Shipped with
    {
        Name = "service with a retention",
        Command = launch => launch.Service(
            Launch.BuiltService(),
            ("Recognize__Operations__Retention", "01:00:00"),
            ("Recognize__Operations__TombstoneRetention", "01:00:00")),
    };

    private readonly List<Comparison> comparisons = [];
    private readonly List<object> sweeps = [];
    private readonly List<TargetResult> targets = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in options.Engines)
        {
            await MeasureAsync(engine, "operations", Seed.InsertWithUsersAsync, tombstones => tombstones, cancellationToken);
            await MeasureAsync(engine, "tombstones", Seed.InsertTombstonesAsync, tombstones => options.Operations - tombstones, cancellationToken);
        }

        Report.WriteConditions(Console.Out, options);
        Comparison.WriteTable(Console.Out, comparisons);
        Console.WriteLine();
        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { sweeps, targets }, cancellationToken);
    }

    private async Task MeasureAsync(
        string engine, string what, Func<BenchmarkDatabase, string, int, CancellationToken, Task> seedAsync, Func<long, long> removedOf, CancellationToken cancellationToken)
    {
        await using var quiet = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
        await using var swept = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
        foreach (var database in new[] { quiet, swept })
        {
            // No server is needed for that: one that was killed would look alive for a while, and the sweep might be its turn.
            await Console.Error.WriteLineAsync($"{engine}: storing {options.Operations} old {what}");
            await Server.RunToEndAsync(Contestant.Shipped.Command(Launch.At(database)) with { Arguments = ["apply-schema"] }, cancellationToken);
            await seedAsync(database, "old", options.Operations, cancellationToken);
        }

        // It sweeps as soon as it runs, hence the last.
        await using var still = await Server.StartAsync(Contestant.Shipped, quiet, cancellationToken);
        await using var sweeping = await Server.StartAsync(Sweeper, swept, cancellationToken);
        var (begun, first) = (Stopwatch.GetTimestamp(), await RemovedAsync());
        var (elapsed, removed) = (TimeSpan.Zero, first);
        var name = $"creates while {what} are removed";
        var load = Scenario.Creates("meanwhile", 0xA1D7_0000_0000);
        var rounds = await Rounds.MeasureAsync(
            $"{engine}, {name}", [new("no sweep", [still], load), new("sweep", [sweeping], load)], Connections, most: null, options, IsOverAsync, cancellationToken);
        if (rounds[0].Count == 0)
        {
            throw new BenchmarkException($"The sweep was over before a round was: ask for more than {options.Operations} --operations or a shorter --warmup.");
        }

        if (removed == first)
        {
            throw sweeping.Failure("removes nothing");
        }

        var rate = (removed - first) / elapsed.TotalSeconds;
        var comparison = new Comparison(name, new(engine, name, Connections, "1", "no sweep", rounds[0]), new(engine, name, Connections, "2", "sweep", rounds[1]), Bound: null);
        Console.WriteLine(FormattableString.Invariant(
            $"{engine}, {rate:F0} of {options.Operations:N0} {what} removed per second: p99 of creates {comparison.Second.Spread(Figure.P99, "F2")} ms, without a sweep {comparison.First.Spread(Figure.P99, "F2")} ms; {rounds[0].Count} of {options.Rounds} rounds counted\n"));
        comparisons.Add(comparison);
        sweeps.Add(new { what, options.Operations, rate, rounds = rounds[0].Count, comparison = comparison.ToJson() });
        var (bound, ratio) = (new Bound(1.2, IsLeast: false), comparison.Ratio(Figure.P99)!.Value);
        targets.Add(new(engine, $"p99 of {name} / without a sweep", Connections, bound.ToString(), ratio, bound.IsMetBy(ratio)));

        async Task<bool> IsOverAsync()
        {
            var now = await RemovedAsync();
            if (now >= options.Operations)
            {
                return true;
            }

            (elapsed, removed) = (Stopwatch.GetElapsedTime(begun), now);
            return false;
        }

        async Task<long> RemovedAsync()
        {
            await using var connection = await swept.OpenAsync(cancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandText = Tombstones;
            return removedOf(Convert.ToInt64(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture));
        }
    }
}
