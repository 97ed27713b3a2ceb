using System.Diagnostics;
using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>
/// What creates notice of a sweep that removes much, and how fast it is. A server that sweeps and one that does not run one after the other
/// with a fresh database each: users' lists grow with every create, so that after the sweep even the same server would be slower.
/// </summary>
internal sealed class Sweeping(Options options)
{
    private const int Connections = 64;
    private const string Tombstones = "SELECT count(*) FROM OrleansStorage WHERE OwnerKey > 'op/~/'";

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
            await MeasureAsync(engine, "operations", Seed.InsertOperationsAsync, tombstones => tombstones, cancellationToken);
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
        var name = $"creates while {what} are removed";

        // There and back, so that a machine that grows slower or faster meanwhile favours neither.
        Run[] runs = [await MeasureOneAsync(Contestant.Shipped), await MeasureOneAsync(Sweeper), await MeasureOneAsync(Sweeper), await MeasureOneAsync(Contestant.Shipped)];
        List<Round> quiet = [.. runs[0].Rounds, .. runs[3].Rounds], sweeping = [.. runs[1].Rounds, .. runs[2].Rounds];
        var rate = (runs[1].Rate + runs[2].Rate) / 2;
        var comparison = new Comparison(name, new(engine, name, Connections, "1", "no sweep", quiet), new(engine, name, Connections, "2", "sweep", sweeping), Bound: null);
        Console.WriteLine(FormattableString.Invariant(
            $"{engine}, {rate:F0} of {options.Operations:N0} {what} removed per second: p99 of creates {comparison.Second.Spread(Figure.P99, "F2")} ms, without a sweep {comparison.First.Spread(Figure.P99, "F2")} ms; {sweeping.Count} of {2 * options.Rounds} rounds counted\n"));
        comparisons.Add(comparison);
        sweeps.Add(new { what, options.Operations, rate, rounds = sweeping.Count, comparison = comparison.ToJson() });
        var (bound, ratio) = (new Bound(1.2, IsLeast: false), comparison.Ratio(Figure.P99)!.Value);
        targets.Add(new(engine, $"p99 of {name} / without a sweep", Connections, bound.ToString(), ratio, bound.IsMetBy(ratio)));

        async Task<Run> MeasureOneAsync(Contestant contestant)
        {
            await using var database = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);

            // No server is needed for that: one that was killed would look alive for a while, and the sweep might be its turn.
            await Console.Error.WriteLineAsync($"{engine}: storing {options.Operations} old {what}");
            await Server.RunToEndAsync(Contestant.Shipped.Command(Launch.At(database)) with { Arguments = ["apply-schema"] }, cancellationToken);
            await seedAsync(database, "old", options.Operations, cancellationToken);

            // A sweep begins with its server.
            await using var server = await Server.StartAsync(contestant, database, cancellationToken);
            var (begun, first) = (Stopwatch.GetTimestamp(), await RemovedAsync(database));
            var (elapsed, removed) = (TimeSpan.Zero, first);
            var entry = new Entry(contestant.Name, [server], Scenario.Creates("meanwhile", 0xA1D7_0000_0000));
            var rounds = await Rounds.MeasureAsync($"{engine}, {name}", [entry], Connections, most: null, options, contestant == Sweeper ? IsOverAsync : null, cancellationToken);
            if (rounds[0].Count == 0)
            {
                throw new BenchmarkException($"The sweep was over before a round was: ask for more than {options.Operations} --operations or a shorter --warmup.");
            }

            return contestant == Sweeper && removed == first
                ? throw server.Failure("removes nothing")
                : new(rounds[0], (removed - first) / elapsed.TotalSeconds);

            async Task<bool> IsOverAsync()
            {
                var now = await RemovedAsync(database);
                if (now >= options.Operations)
                {
                    return true;
                }

                (elapsed, removed) = (Stopwatch.GetElapsedTime(begun), now);
                return false;
            }
        }

        async Task<long> RemovedAsync(BenchmarkDatabase database)
        {
            await using var connection = await database.OpenAsync(cancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandText = Tombstones;
            return removedOf(Convert.ToInt64(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture));
        }
    }

    private sealed record Run(IReadOnlyList<Round> Rounds, double Rate);
}
