namespace Recognize.Orleans.Benchmarks;

/// <summary>What the service has to reach: a bound of a ratio to another server.</summary>
/// <param name="Name">Its name in the table.</param>
/// <param name="Scenario">What was sent.</param>
/// <param name="Letter">The server that it is compared with.</param>
/// <param name="Figure">What is compared.</param>
/// <param name="Bound">By engine; an engine that is missing has no such target.</param>
internal sealed record Target(string Name, string Scenario, string Letter, Func<Round, double?> Figure, Func<string, Bound?> Bound)
{
    private const string Baseline = Contestant.BaselineLetter;
    private const string Other = Contestant.OtherLetter;

    public static readonly IReadOnlyList<Target> All =
    [
        new("create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 2.4, server: 1.5)),
        new("p99 of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.P99, AtMost(1)),
        new("journey / baseline", Benchmarks.Scenario.Journey, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 2, server: 1.7)),
        new("get warm / baseline", Benchmarks.Scenario.Warm, Baseline, Benchmarks.Figure.PerSecond, AtLeast(3, 3)),
        new("get warm / constant", Benchmarks.Scenario.Warm, Contestant.ConstantLetter, Benchmarks.Figure.PerSecond, AtLeast(0.7, 0.7)),
        new("get cold / baseline", Benchmarks.Scenario.Cold, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 1, server: 1.3)),
        new("p99 of get cold / baseline", Benchmarks.Scenario.Cold, Baseline, Benchmarks.Figure.P99, AtMost(3)),
        new("list with 3 pending / baseline", Benchmarks.Scenario.List, Baseline, Benchmarks.Figure.PerSecond, AtLeast(2.5, 2.5)),
        new("database CPU of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.DatabaseCpu, engine => engine is Engine.Sqlite ? null : new(0.25, IsLeast: false)),
        new("p50 of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.P50, AtMost(1.2)) { Connections = 1 },

        // Only with another build beside it. What has nothing to gain may lose 5 %, warm reads 10 %.
        new("create / other build", Benchmarks.Scenario.Create, Other, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 0.95, server: 1.15)),
        new("create on stock storage / other build", Benchmarks.Scenario.Create, Contestant.OtherStockLetter, Benchmarks.Figure.PerSecond, AtLeast(1.6, 1.6)) { Subject = Contestant.StockLetter },
        new("create of one user / other build", Benchmarks.Scenario.OneUser, Other, Benchmarks.Figure.PerSecond, AtLeast(5, 5)),
        new("journey / other build", Benchmarks.Scenario.Journey, Other, Benchmarks.Figure.PerSecond, AtLeast(1.1, 1.1)),
        new("duplicate create / other build", Benchmarks.Scenario.Duplicate, Other, Benchmarks.Figure.PerSecond, AtLeast(0.95, 0.95)),
        new("get warm / other build", Benchmarks.Scenario.Warm, Other, Benchmarks.Figure.PerSecond, AtLeast(0.9, 0.9)),
        new("get cold / other build", Benchmarks.Scenario.Cold, Other, Benchmarks.Figure.PerSecond, AtLeast(0.95, 0.95)),
        new("list with 3 pending / other build", Benchmarks.Scenario.List, Other, Benchmarks.Figure.PerSecond, AtLeast(0.95, 0.95)),
        new("CPU of list with 25 pending, once in five seconds / other build", Benchmarks.Scenario.ListAgain, Other, Benchmarks.Figure.Cpu, AtMost(0.25)),
    ];

    /// <summary>The server that has to reach it.</summary>
    public string Subject { get; init; } = Contestant.ServiceLetter;

    /// <summary>The number of connections for which it is set.</summary>
    public int Connections { get; init; } = 64;

    private static Func<string, Bound?> AtLeast(double sqlite, double server) => engine => new(engine is Engine.Sqlite ? sqlite : server, IsLeast: true);

    private static Func<string, Bound?> AtMost(double most) => _ => new(most, IsLeast: false);
}

/// <summary>A limit that a figure may not pass.</summary>
internal sealed record Bound(double Value, bool IsLeast)
{
    public bool IsMetBy(double value) => IsLeast ? value >= Value : value <= Value;

    public override string ToString() => FormattableString.Invariant($"{(IsLeast ? "≥" : "≤")} {Value}");
}

/// <summary>A target and what was measured for it.</summary>
internal sealed record TargetResult(string Engine, string Target, int Connections, string Bound, double Measured, bool IsMet)
{
    public static IEnumerable<TargetResult> Of(Results results) =>
        from engine in results.All.Select(result => result.Engine).Distinct()
        from target in Benchmarks.Target.All
        let bound = target.Bound(engine)
        let result = results.Find(engine, target.Scenario, target.Connections, target.Subject)
        where bound is not null && result is not null
        let measured = results.Ratio(result, target.Letter, target.Figure)
        where measured is not null
        select new TargetResult(engine, target.Name, target.Connections, bound.ToString(), measured.Value, bound.IsMetBy(measured.Value));

    public static void WriteTable(TextWriter writer, IEnumerable<TargetResult> targets)
    {
        writer.WriteLine("| engine | target | connections | bound | measured | |");
        writer.WriteLine("|---|---|--:|--:|--:|---|");
        foreach (var target in targets)
        {
            writer.WriteLine(FormattableString.Invariant($"| {target.Engine} | {target.Target} | {target.Connections} | {target.Bound} | {target.Measured:F2} | {(target.IsMet ? "met" : "**missed**")} |"));
        }
    }
}
