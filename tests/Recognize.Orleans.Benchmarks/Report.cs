using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What was measured, for people and as JSON.</summary>
internal sealed class Report(Options options, Results results)
{
    // The ratio of two processor times of nothing is no number.
    private static readonly JsonSerializerOptions Indented = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private readonly List<TargetResult> targets = [.. TargetResult.Of(results)];

    public void Write(TextWriter writer)
    {
        WriteConditions(writer, options);
        writer.WriteLine("| engine | scenario | connections | server | iterations/s | x baseline | p50 ms | p99 ms | p99 x baseline | CPU µs | database CPU µs | x baseline |");
        writer.WriteLine("|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        foreach (var result in results.All)
        {
            writer.WriteLine($"| {result.Engine} | {result.Scenario} | {result.Connections} | {result.Letter} {result.Server} | {result.Spread(Figure.PerSecond, "N0")} | {Ratio(result, Figure.PerSecond)} | {result.Spread(Figure.P50, "F2")} | {result.Spread(Figure.P99, "F2")} | {Ratio(result, Figure.P99)} | {result.Spread(Figure.Cpu, "F0")} | {result.Spread(Figure.DatabaseCpu, "F0")} | {Ratio(result, Figure.DatabaseCpu)} |");
        }

        writer.WriteLine();
        TargetResult.WriteTable(writer, targets);
    }

    public async Task WriteFilesAsync(CancellationToken cancellationToken)
    {
        await WriteJsonAsync(
            options,
            new
            {
                results = results.All.Select(result => new
                {
                    result.Engine,
                    result.Scenario,
                    result.Connections,
                    result.Letter,
                    result.Server,
                    perSecond = result.Median(Figure.PerSecond),
                    timesBaseline = results.Ratio(result, Contestant.BaselineLetter, Figure.PerSecond),
                    p50Milliseconds = result.Median(Figure.P50),
                    p99Milliseconds = result.Median(Figure.P99),
                    p99TimesBaseline = results.Ratio(result, Contestant.BaselineLetter, Figure.P99),
                    cpuMicroseconds = result.Median(Figure.Cpu),
                    databaseCpuMicroseconds = result.Median(Figure.DatabaseCpu),
                    databaseCpuTimesBaseline = results.Ratio(result, Contestant.BaselineLetter, Figure.DatabaseCpu),
                    result.Rounds,
                }),
                targets,
            },
            cancellationToken);
        if (options.Plot is { } file)
        {
            await File.WriteAllTextAsync(file, Plot.Draw(results), cancellationToken);
        }
    }

    /// <summary>The line above every table: absolute figures say nothing without it.</summary>
    public static void WriteConditions(TextWriter writer, Options options)
    {
        writer.WriteLine(FormattableString.Invariant($"{options.Rounds} rounds of {options.Round.TotalSeconds} s after {options.WarmUp.TotalSeconds} s of warm-up, {Environment.ProcessorCount} cores, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}: median (min–max)"));
        writer.WriteLine();
    }

    public static async Task WriteJsonAsync(Options options, object measured, CancellationToken cancellationToken)
    {
        if (options.Json is not { } file)
        {
            return;
        }

        var document = new
        {
            at = DateTimeOffset.UtcNow,
            machine = new { cores = Environment.ProcessorCount, framework = RuntimeInformation.FrameworkDescription, system = RuntimeInformation.OSDescription },
            warmUpSeconds = options.WarmUp.TotalSeconds,
            roundSeconds = options.Round.TotalSeconds,
            measured,
        };
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(document, Indented), cancellationToken);
    }

    private string Ratio(Result result, Func<Round, double?> figure) =>
        results.Ratio(result, Contestant.BaselineLetter, figure) is { } ratio ? FormattableString.Invariant($"{ratio:F2}") : "–";
}
