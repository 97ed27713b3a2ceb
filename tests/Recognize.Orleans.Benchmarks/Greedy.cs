using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a greedy customer asks for.</summary>
internal enum GreedyFlood
{
    FullLists,
    UnreadStreams,
    RefusedCreates,
    UnknownIds,
}

/// <summary>
/// What a greedy customer does to a modest one beside it, and to the memory of the process. The server with its database and the load generators are
/// on different cores, the modest customer being alone or not.
/// </summary>
internal sealed class Greedy(Options options)
{
    private const int Connections = 8;
    private const long MiB = 1_048_576;
    private const long MostMiBAbove = 512;

    private static readonly TimeSpan UntilFlooded = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestSettling = TimeSpan.FromSeconds(10);
    private static readonly IReadOnlyDictionary<GreedyFlood, string> Names = new Dictionary<GreedyFlood, string>
    {
        [GreedyFlood.FullLists] = "full lists",
        [GreedyFlood.UnreadStreams] = "unread streams",
        [GreedyFlood.RefusedCreates] = "refused creates",
        [GreedyFlood.UnknownIds] = "unknown ids",
    };

    // The machine must survive what the server may not.
    private static readonly long MostResident = Math.Min(12 * 1_024 * MiB, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2);

    private readonly List<GreedyResult> results = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var cores = Cores.Split();
        var builds = new List<(string Name, string Path)> { (Contestant.Shipped.Name, Launch.BuiltService()) };
        if (options.Against is { } other)
        {
            builds.Add(("other build", other));
        }

        foreach (var engine in options.Engines)
        {
            foreach (var (flood, name) in Names.Where(flood => options.Scenarios.Any(flood.Value.StartsWith)))
            {
                foreach (var (build, path) in builds)
                {
                    results.Add(await MeasureAsync(engine, flood, name, build, path, cores, cancellationToken));
                }
            }
        }

        Report.WriteConditions(Console.Out, options);
        GreedyResult.WriteTable(Console.Out, results);
        Console.WriteLine();
        var targets = results.SelectMany(TargetsOf).ToList();
        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { results, targets }, cancellationToken);
    }

    private async Task<GreedyResult> MeasureAsync(string engine, GreedyFlood flood, string name, string build, string path, Cores cores, CancellationToken cancellationToken)
    {
        var what = $"{engine}, {name}, {build}";
        var key = RandomNumberGenerator.GetHexString(64, lowercase: true);
        var contestant = Contestant.Shipped with { Name = build, Command = launch => launch.Service(path, [.. Launch.Customer("greedy", key)]) with { By = cores.OfServers } };
        await using var database = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
        cores.PinToServers(database.Cpu?.ProcessIds() ?? []);
        await using var server = await Server.StartAsync(contestant, database, cancellationToken);
        await using var greedy = new GreedyCustomer(server, flood, key, flood is GreedyFlood.UnreadStreams ? options.Streams : Connections, cores);
        await Console.Error.WriteLineAsync($"{what}: preparing");
        var held = await greedy.PrepareAsync(cancellationToken);
        await Console.Error.WriteLineAsync($"{what}: the greedy customer's creates were answered {held}");

        var entry = new Entry(build, [server], Scenario.Creates("modest", 0xA1D8_0000_0000));
        await LoadGenerator.RunAsync([server], entry.Steps, Connections, LoadGenerator.For(options.WarmUp), cancellationToken);
        await SettleAsync(server, cancellationToken);
        var before = ProcessStatus.Resident(server.ProcessId);
        ProcessStatus.ForgetPeak(server.ProcessId);
        using var watch = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var watching = greedy.StopWhenAsync(() => ProcessStatus.Resident(server.ProcessId) > MostResident, watch.Token);

        await BesideAsync(() => LoadGenerator.RunAsync([server], entry.Steps, Connections, LoadGenerator.For(options.WarmUp), cancellationToken));
        greedy.Forget();
        var (alone, beside) = (new List<Round>(), new List<Round>());
        for (var round = 1; round <= options.Rounds && !greedy.IsStopped; round++)
        {
            await SettleAsync(server, cancellationToken);
            alone.Add(await MeasureRoundAsync());
            await BesideAsync(async () => beside.Add(await MeasureRoundAsync()));
            await Console.Error.WriteLineAsync(FormattableString.Invariant(
                $"{what}, round {round}: alone {alone[^1].PerSecond:F0}/s, beside {beside[^1].PerSecond:F0}/s; resident {ProcessStatus.PeakResident(server.ProcessId) / MiB:N0} MiB at most"));
        }

        var got = greedy.Got;
        var heap = greedy.IsStopped ? null : await HeapAsync();
        await watch.CancelAsync();
        await watching;
        return new(engine, name, build, alone, beside, got, greedy.IsStopped, before, ProcessStatus.PeakResident(server.ProcessId), heap?.During, heap?.After);

        // The server opens connections as it goes.
        Task<Round> MeasureRoundAsync()
        {
            cores.GivePrecedence(database.Cpu?.ProcessIds() ?? []);
            return Rounds.MeasureAsync(entry, Connections, most: null, options, cancellationToken);
        }

        async Task BesideAsync(Func<Task> measureAsync)
        {
            await greedy.GoAsync(cancellationToken);
            await Task.Delay(UntilFlooded, cancellationToken);
            await measureAsync();
            await greedy.StopAsync(cancellationToken);
        }

        // Last, because the dashboard that tells of the heap looks at its silo every second once it was asked.
        async Task<(long During, long After)?> HeapAsync()
        {
            await greedy.GoAsync(cancellationToken);
            while (flood is GreedyFlood.UnknownIds && (await greedy.TallyAsync(cancellationToken)).Count < options.Operations)
            {
                await Task.Delay(UntilFlooded, cancellationToken);
            }

            try
            {
                var during = await Memory.OfAsync(server, cancellationToken);
                await greedy.StopAsync(cancellationToken);
                await SettleAsync(server, cancellationToken);
                return (during.Heap, (await Memory.OfAsync(server, cancellationToken)).Heap);
            }
            catch (Exception busy) when (busy is HttpRequestException or SocketException || (busy is TaskCanceledException && !cancellationToken.IsCancellationRequested))
            {
                return null;
            }
        }
    }

    // What the server does after the flood, collections above all, must not fall into what the modest customer gets alone.
    private static async Task SettleAsync(Server server, CancellationToken cancellationToken)
    {
        var look = TimeSpan.FromMilliseconds(500);
        var begun = Stopwatch.GetTimestamp();
        TimeSpan used;
        do
        {
            var before = server.CpuTime()!.Value;
            await Task.Delay(look, cancellationToken);
            used = server.CpuTime()!.Value - before;
        }
        while (used > look / 10 && Stopwatch.GetElapsedTime(begun) < LongestSettling);
    }

    private static IEnumerable<TargetResult> TargetsOf(GreedyResult result)
    {
        yield return Target("creates beside / alone", new(0.8, IsLeast: true), result.Ratio(Figure.PerSecond) ?? 0);
        yield return Target("p99 of creates beside / alone", new(2, IsLeast: false), result.Ratio(Figure.P99) ?? double.PositiveInfinity);
        yield return Target("MiB of resident memory above what it was before", new(MostMiBAbove, IsLeast: false), (double)(result.MostResident - result.ResidentBefore) / MiB);

        TargetResult Target(string target, Bound bound, double measured) =>
            new(result.Engine, $"{result.Flood}, {result.Build}: {target}", Connections, bound.ToString(), measured, bound.IsMetBy(measured));
    }
}

/// <summary>What was measured of one flood on one build.</summary>
/// <param name="Engine">The engine.</param>
/// <param name="Flood">What the greedy customer asked for.</param>
/// <param name="Build">Which build of the service.</param>
/// <param name="Alone">The modest customer's rounds without the greedy one.</param>
/// <param name="Beside">Those beside it.</param>
/// <param name="Got">What the greedy customer got meanwhile.</param>
/// <param name="IsStopped">Whether the flood was ended because the server took too much of the machine's memory.</param>
/// <param name="ResidentBefore">Bytes of resident memory after the warm-up of the modest customer.</param>
/// <param name="MostResident">The most of it from there to the end of the flood.</param>
/// <param name="HeapDuring">Bytes of the managed heap after full collections, while the flood goes on; null when the server could not be asked.</param>
/// <param name="HeapAfter">The same when it is over.</param>
internal sealed record GreedyResult(
    string Engine, string Flood, string Build, IReadOnlyList<Round> Alone, IReadOnlyList<Round> Beside, Tally Got, bool IsStopped, long ResidentBefore, long MostResident, long? HeapDuring, long? HeapAfter)
{
    private static readonly Func<Round, double?> Cpu = round => round.CpuMicroseconds * round.PerSecond / 10_000;
    private static readonly Func<Round, double?> DatabaseCpu = round => round.DatabaseCpuMicroseconds * round.PerSecond / 10_000;

    public static void WriteTable(TextWriter writer, IReadOnlyList<GreedyResult> results)
    {
        writer.WriteLine("| engine | flood | build | creates/s alone | beside | beside / alone | p99 ms alone | beside | beside / alone | server CPU % of a core alone | beside | database CPU % alone | beside |");
        writer.WriteLine("|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        foreach (var result in results)
        {
            var (alone, beside) = (result.Of(result.Alone), result.Of(result.Beside));
            writer.WriteLine($"| {result.Engine} | {result.Flood} | {result.Build} | {alone.Spread(Figure.PerSecond, "N0")} | {beside.Spread(Figure.PerSecond, "N0")} | {Text(result.Ratio(Figure.PerSecond))} | {alone.Spread(Figure.P99, "F1")} | {beside.Spread(Figure.P99, "F1")} | {Text(result.Ratio(Figure.P99))} | {alone.Spread(Cpu, "F0")} | {beside.Spread(Cpu, "F0")} | {alone.Spread(DatabaseCpu, "F0")} | {beside.Spread(DatabaseCpu, "F0")} |");
        }

        writer.WriteLine();
        writer.WriteLine("| engine | flood | build | resident MiB before | at most | heap MiB during | after | greedy: requests/s | MB/s | answers | |");
        writer.WriteLine("|---|---|---|--:|--:|--:|--:|--:|--:|---|---|");
        foreach (var result in results)
        {
            var got = result.Got;
            writer.WriteLine(FormattableString.Invariant(
                $"| {result.Engine} | {result.Flood} | {result.Build} | {MiB(result.ResidentBefore)} | {MiB(result.MostResident)} | {MiB(result.HeapDuring)} | {MiB(result.HeapAfter)} | {got.Count / got.Seconds:N0} | {got.Bytes / got.Seconds / 1_000_000:N1} | {got} | {(result.IsStopped ? "**stopped**: too much memory" : "")} |"));
        }

        static string Text(double? ratio) => ratio is { } number ? FormattableString.Invariant($"{number:F2}") : "–";

        static string MiB(long? bytes) => bytes is { } number ? FormattableString.Invariant($"{number / 1_048_576:N0}") : "–";
    }

    public double? Ratio(Func<Round, double?> figure) => Of(Beside).Median(figure) / Of(Alone).Median(figure);

    private Result Of(IReadOnlyList<Round> rounds) => new(Engine, Flood, 0, Contestant.ServiceLetter, Build, rounds);
}
