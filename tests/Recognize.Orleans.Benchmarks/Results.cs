using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>The rounds of one server in one scenario.</summary>
internal sealed record Result(string Engine, string Scenario, int Connections, string Letter, string Server, IReadOnlyList<Round> Rounds)
{
    public double? Median(Func<Round, double?> figure)
    {
        var sorted = Sorted(figure);
        return sorted.Count == 0 ? null : (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
    }

    /// <summary>Median, lowest and highest, as text.</summary>
    public string Spread(Func<Round, double?> figure, string format)
    {
        var sorted = Sorted(figure);
        return sorted.Count == 0 ? "–" : $"{Text(Median(figure)!.Value)} ({Text(sorted[0])}–{Text(sorted[^1])})";

        string Text(double number) => number.ToString(format, CultureInfo.InvariantCulture);
    }

    private List<double> Sorted(Func<Round, double?> figure) => [.. Rounds.Select(figure).OfType<double>().Order()];
}

/// <summary>All results of a run, to be compared.</summary>
internal sealed class Results(IReadOnlyList<Result> all)
{
    public IReadOnlyList<Result> All => all;

    public Result? Find(string engine, string scenario, int connections, string letter) => all.SingleOrDefault(result =>
        result.Engine == engine && result.Scenario == scenario && result.Connections == connections && result.Letter == letter);

    /// <summary>The median of a result divided by that of another server in the same scenario; null when either was not measured.</summary>
    public double? Ratio(Result result, string letter, Func<Round, double?> figure) =>
        result.Median(figure) / Find(result.Engine, result.Scenario, result.Connections, letter)?.Median(figure);
}

/// <summary>The figures of a round.</summary>
internal static class Figure
{
    public static readonly Func<Round, double?> PerSecond = round => round.PerSecond;
    public static readonly Func<Round, double?> P50 = round => round.P50Milliseconds;
    public static readonly Func<Round, double?> P99 = round => round.P99Milliseconds;
    public static readonly Func<Round, double?> Cpu = round => round.CpuMicroseconds;
    public static readonly Func<Round, double?> DatabaseCpu = round => round.DatabaseCpuMicroseconds;
    public static readonly Func<Round, double?> BalancerCpu = round => round.BalancerCpuMicroseconds;
    public static readonly Func<Round, double?> SiloBytes = round => round.SiloBytes;
}
