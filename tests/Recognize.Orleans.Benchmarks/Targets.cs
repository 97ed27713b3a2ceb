namespace Recognize.Orleans.Benchmarks;

/// <summary>What the service as it ships has to reach: a bound of a ratio to another server.</summary>
/// <param name="Name">Its name in the table.</param>
/// <param name="Scenario">What was sent.</param>
/// <param name="Letter">The server that it is compared with.</param>
/// <param name="Figure">What is compared.</param>
/// <param name="Bound">By engine; an engine that is missing has no such target.</param>
internal sealed record Target(string Name, string Scenario, string Letter, Func<Round, double?> Figure, Func<string, Bound?> Bound)
{
    private const string Baseline = Contestant.BaselineLetter;

    public static readonly IReadOnlyList<Target> All =
    [
        new("create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 2, server: 1.7)),
        new("p99 of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.P99, AtMost(1.5)),
        new("journey / baseline", Benchmarks.Scenario.Journey, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 2, server: 1.7)),
        new("get warm / baseline", Benchmarks.Scenario.Warm, Baseline, Benchmarks.Figure.PerSecond, AtLeast(3, 3)),
        new("get warm / constant", Benchmarks.Scenario.Warm, Contestant.ConstantLetter, Benchmarks.Figure.PerSecond, AtLeast(0.7, 0.7)),
        new("get cold / baseline", Benchmarks.Scenario.Cold, Baseline, Benchmarks.Figure.PerSecond, AtLeast(sqlite: 1, server: 1.3)),
        new("p99 of get cold / baseline", Benchmarks.Scenario.Cold, Baseline, Benchmarks.Figure.P99, AtMost(3)),
        new("list with 3 pending / baseline", Benchmarks.Scenario.List, Baseline, Benchmarks.Figure.PerSecond, AtLeast(2.5, 2.5)),
        new("database CPU of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.DatabaseCpu, engine => engine is Engine.Sqlite ? null : new(0.25, IsLeast: false)),
        new("p50 of create / baseline", Benchmarks.Scenario.Create, Baseline, Benchmarks.Figure.P50, AtMost(1.2)) { Connections = 1 },
    ];

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
        let result = results.Find(engine, target.Scenario, target.Connections, Contestant.ServiceLetter)
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
