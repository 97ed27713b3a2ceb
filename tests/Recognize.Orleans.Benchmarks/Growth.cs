namespace Recognize.Orleans.Benchmarks;

/// <summary>
/// What grows in production: stored operations, the past of a user, the number of silos. Each is measured as two sides in
/// turn, the service as it ships on both.
/// </summary>
internal sealed class Growth(Options options)
{
    private const int FewStored = 1_000;
    private const int PastOperations = 5_000;

    // One person has a phone or two, not 64 of them.
    private const int ConnectionsOfAUser = 8;
    private const int OperationsOfANewUser = 100;

    private const string Stored = "stored";
    private const string Past = "past";
    private const string Silos = "silos";
    private const string Restart = "restart";

    public static readonly IReadOnlyList<string> Parts = [Stored, Past, Silos, Restart];

    private readonly List<Comparison> comparisons = [];
    private readonly List<SiloGrowth> silos = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in options.Engines)
        {
            await (Wants(Stored) ? CompareStoredAsync(engine, cancellationToken) : Task.CompletedTask);
            await (Wants(Past) ? ComparePastAsync(engine, cancellationToken) : Task.CompletedTask);
            if (engine is not Engine.Sqlite && (Wants(Silos) || Wants(Restart)))
            {
                await CompareSilosAsync(engine, cancellationToken);
            }
        }

        Report.WriteConditions(Console.Out, options);
        Comparison.WriteTable(Console.Out, comparisons);
        Console.WriteLine();
        silos.ForEach(compared => compared.WriteTable(Console.Out));
        List<TargetResult> targets = [.. comparisons.Select(comparison => comparison.Target).OfType<TargetResult>(), .. silos.SelectMany(compared => compared.Targets)];
        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { comparisons = comparisons.Select(comparison => comparison.ToJson()), silos = silos.Select(compared => compared.ToJson()), targets }, cancellationToken);
    }

    private bool Wants(string part) => options.Parts.Contains(part);

    private async Task CompareSilosAsync(string engine, CancellationToken cancellationToken)
    {
        if (!Balancer.IsThere)
        {
            await Console.Error.WriteLineAsync($"{engine}: several silos are not measured, because nginx is not installed.");
            return;
        }

        var compared = new SiloGrowth(engine, options);
        silos.Add(compared);
        await (Wants(Silos) ? compared.MeasureAsync(cancellationToken) : Task.CompletedTask);
        await (Wants(Restart) ? compared.RestartAsync(cancellationToken) : Task.CompletedTask);
    }

    private async Task CompareStoredAsync(string engine, CancellationToken cancellationToken)
    {
        await using var servers = new ServerGroup();
        var few = await servers.AddAsync(Server.StartAsync(Contestant.Shipped, engine, options, cancellationToken));
        var many = await servers.AddAsync(Server.StartAsync(Contestant.Shipped, engine, options, cancellationToken));
        foreach (var (server, count) in new[] { (few, FewStored), (many, options.Stored) })
        {
            await Console.Error.WriteLineAsync($"{engine}: storing {count} operations");
            await Seed.InsertAsync(server, "stored", 0, count, cancellationToken);
        }

        var bound = new Bound(0.9, IsLeast: true);
        var warm = new List<IReadOnlyList<Step>>();
        foreach (var server in servers.All)
        {
            warm.Add(await Scenario.PrepareWarmAsync(server, options, cancellationToken));
        }

        // Both sides grow by what the creates add, hence the reads come first.
        await CompareAsync(engine, "get warm", Side(few, warm[0]), Side(many, warm[1]), bound);
        await CompareAsync(engine, "get of an unknown id", Side(few, Scenario.Unknown), Side(many, Scenario.Unknown), bound);
        await CompareAsync(engine, "create", Side(few, Scenario.Creates("grown", 0xA1D0_0000_0000)), Side(many, Scenario.Creates("grown", 0xA1D0_0000_0000)), bound);

        Entry Side(Server server, IReadOnlyList<Step> steps) => new(server == few ? $"{FewStored:N0} stored" : $"{options.Stored:N0} stored", [server], steps);

        Task CompareAsync(string engine, string what, Entry first, Entry second, Bound bound) =>
            this.CompareAsync(engine, what, first, second, options.Connections, bound, cancellationToken);
    }

    private async Task ComparePastAsync(string engine, CancellationToken cancellationToken)
    {
        await using var servers = new ServerGroup();
        var server = await servers.AddAsync(Server.StartAsync(Contestant.Shipped, engine, options, cancellationToken));
        var old = Requests.User(0xA1D1_0000_0000, 0);
        await Console.Error.WriteLineAsync($"{engine}: {PastOperations} operations of one user");
        await LoadGenerator.RunAsync([server], Scenario.ListedJourney("past", _ => old), ConnectionsOfAUser, LoadGenerator.For(PastOperations), cancellationToken);
        await CompareAsync(
            engine,
            "create, list, decide of one user",
            new($"fewer than {OperationsOfANewUser} past operations", [server], Scenario.ListedJourney("new", sequence => Requests.User(0xA1D2_0000_0000, sequence / OperationsOfANewUser))),
            new($"{PastOperations:N0} past operations or more", [server], Scenario.ListedJourney("old", _ => old)),
            [ConnectionsOfAUser],
            bound: null,
            cancellationToken);
    }

    private async Task CompareAsync(string engine, string what, Entry first, Entry second, IReadOnlyList<int> connections, Bound? bound, CancellationToken cancellationToken)
    {
        foreach (var number in connections)
        {
            var rounds = await Rounds.MeasureAsync($"{engine}, {what}", [first, second], number, most: null, options, isOver: null, cancellationToken);
            comparisons.Add(new(
                what,
                new(engine, what, number, "1", first.Name, rounds[0]),
                new(engine, what, number, "2", second.Name, rounds[1]),
                bound));
        }
    }
}

/// <summary>Two sides of one measurement; ratios are the second side's figures divided by the first's.</summary>
internal sealed record Comparison(string What, Result First, Result Second, Bound? Bound)
{
    public TargetResult? Target => Bound is not null && Ratio(Figure.PerSecond) is { } measured
        ? new(First.Engine, $"{What}: {Second.Server} / {First.Server}", First.Connections, Bound.ToString(), measured, Bound.IsMetBy(measured))
        : null;

    public static void WriteTable(TextWriter writer, IEnumerable<Comparison> comparisons)
    {
        writer.WriteLine("| engine | what | connections | 1 | 2 | 1: iterations/s | 2: iterations/s | 2 / 1 | p99 2 / 1 | CPU 2 / 1 | database CPU 2 / 1 |");
        writer.WriteLine("|---|---|--:|---|---|--:|--:|--:|--:|--:|--:|");
        foreach (var comparison in comparisons)
        {
            var (first, second) = (comparison.First, comparison.Second);
            writer.WriteLine($"| {first.Engine} | {comparison.What} | {first.Connections} | {first.Server} | {second.Server} | {first.Spread(Figure.PerSecond, "N0")} | {second.Spread(Figure.PerSecond, "N0")} | {comparison.Text(Figure.PerSecond)} | {comparison.Text(Figure.P99)} | {comparison.Text(Figure.Cpu)} | {comparison.Text(Figure.DatabaseCpu)} |");
        }
    }

    public object ToJson() => new
    {
        First.Engine,
        What,
        First.Connections,
        ratio = Ratio(Figure.PerSecond),
        p99Ratio = Ratio(Figure.P99),
        cpuRatio = Ratio(Figure.Cpu),
        databaseCpuRatio = Ratio(Figure.DatabaseCpu),
        first = new { First.Server, First.Rounds },
        second = new { Second.Server, Second.Rounds },
    };

    public double? Ratio(Func<Round, double?> figure) => Second.Median(figure) / First.Median(figure);

    private string Text(Func<Round, double?> figure) =>
        Ratio(figure) is { } ratio && double.IsFinite(ratio) ? FormattableString.Invariant($"{ratio:F2}") : "–";
}
