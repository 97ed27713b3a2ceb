using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What one server did in one round; the CPU time is that of its process per iteration.</summary>
internal sealed record Round(double PerSecond, double P50Milliseconds, double P99Milliseconds, double? CpuMicroseconds);

internal sealed record Result(string Engine, string Scenario, int Connections, string Letter, string Server, IReadOnlyList<Round> Rounds);

internal sealed class Report(Options options, IReadOnlyList<Result> results)
{
    private static readonly JsonSerializerOptions Indented = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    public void WriteTable(TextWriter writer)
    {
        writer.WriteLine(Invariant($"{options.Rounds} rounds of {options.Round.TotalSeconds} s after {options.WarmUp.TotalSeconds} s of warm-up, {Environment.ProcessorCount} cores, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}: median (min–max)"));
        writer.WriteLine();
        writer.WriteLine("| engine | scenario | connections | server | requests/s | x baseline | p50 ms | p99 ms | CPU µs/request |");
        writer.WriteLine("|---|---|--:|---|--:|--:|--:|--:|--:|");
        foreach (var result in results)
        {
            writer.WriteLine(Invariant($"| {result.Engine} | {result.Scenario} | {result.Connections} | {result.Letter} {result.Server} | {Spread(result, round => round.PerSecond, "N0")} | {Ratio(result):F2} | {Spread(result, round => round.P50Milliseconds, "F2")} | {Spread(result, round => round.P99Milliseconds, "F2")} | {Spread(result, round => round.CpuMicroseconds, "F0")} |"));
        }
    }

    public async Task WriteJsonAsync(string file, CancellationToken cancellationToken)
    {
        var document = new
        {
            at = DateTimeOffset.UtcNow,
            machine = new { cores = Environment.ProcessorCount, framework = RuntimeInformation.FrameworkDescription, system = RuntimeInformation.OSDescription },
            warmUpSeconds = options.WarmUp.TotalSeconds,
            roundSeconds = options.Round.TotalSeconds,
            results = results.Select(result => new
            {
                result.Engine,
                result.Scenario,
                result.Connections,
                result.Letter,
                result.Server,
                perSecond = Median(result, round => round.PerSecond),
                timesBaseline = Ratio(result),
                p50Milliseconds = Median(result, round => round.P50Milliseconds),
                p99Milliseconds = Median(result, round => round.P99Milliseconds),
                cpuMicroseconds = Median(result, round => round.CpuMicroseconds),
                result.Rounds,
            }),
        };
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(document, Indented), cancellationToken);
    }

    private double? Ratio(Result result) =>
        Median(result, round => round.PerSecond) / Median(BaselineOf(result), round => round.PerSecond);

    private Result BaselineOf(Result result) => results.Single(other =>
        other.Letter == Contestant.BaselineLetter && other.Engine == result.Engine && other.Scenario == result.Scenario && other.Connections == result.Connections);

    private static string Spread(Result result, Func<Round, double?> figure, string format)
    {
        var sorted = Sorted(result, figure);
        return sorted.Count == 0
            ? "–"
            : $"{Text(Median(result, figure)!.Value)} ({Text(sorted[0])}–{Text(sorted[^1])})";

        string Text(double number) => number.ToString(format, CultureInfo.InvariantCulture);
    }

    private static double? Median(Result result, Func<Round, double?> figure)
    {
        var sorted = Sorted(result, figure);
        return sorted.Count == 0 ? null : (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
    }

    private static List<double> Sorted(Result result, Func<Round, double?> figure) =>
        [.. result.Rounds.Select(figure).OfType<double>().Order()];

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
