using System.Diagnostics;
using System.Text.Json;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A real Prometheus with the configuration of <c>deploy/prometheus</c>, in which only targets and times are replaced.</summary>
internal sealed class Prometheus : IAsyncDisposable
{
    private const string Program = "/usr/bin/prometheus";
    private const string Tool = "/usr/bin/promtool";

    private readonly string folder;
    private readonly Process process;
    private readonly HttpClient api;

    private Prometheus(string folder, Process process, HttpClient api) => (this.folder, this.process, this.api) = (folder, process, api);

    /// <summary>Why tests with it cannot run here, as a sentence; null when they can.</summary>
    public static string? WhyUnavailable => File.Exists(Program) && File.Exists(Tool) ? null : $"Install Prometheus ({Program}, Debian's package prometheus) to run this test.";

    /// <summary>Starts it and waits until it answers; skips the test where it is not installed.</summary>
    /// <param name="targets">Who is scraped, every second.</param>
    public static async Task<Prometheus> StartAsync(IEnumerable<Uri> targets)
    {
        Skip.If(WhyUnavailable is not null, WhyUnavailable);
        var folder = Directory.CreateTempSubdirectory("recognize-prometheus").FullName;
        var shipped = (await File.ReadAllTextAsync(Repository.PathOf("deploy/prometheus/prometheus.yml")))
            .Replace("15s", "1s", StringComparison.Ordinal)
            .Replace("\"localhost:8081\"", string.Join(", ", targets.Select(target => $"\"{target.Authority}\"")), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(folder, "prometheus.yml"), shipped);
        File.Copy(Repository.PathOf("deploy/prometheus/recognize.rules.yml"), Path.Combine(folder, "recognize.rules.yml"));
        var address = $"127.0.0.1:{FreePorts.Next()}";
        var process = Process.Start(new ProcessStartInfo(Program, [$"--config.file={folder}/prometheus.yml", $"--storage.tsdb.path={folder}/data", $"--web.listen-address={address}"]) { RedirectStandardError = true })!;
        while (await process.StandardError.ReadLineAsync().WaitAsync(ServiceProcess.Patience) is { } line)
        {
            if (line.Contains("Server is ready", StringComparison.Ordinal))
            {
                _ = process.StandardError.ReadToEndAsync();
                return new(folder, process, new() { BaseAddress = new($"http://{address}") });
            }
        }

        throw new InvalidOperationException("Prometheus did not start.");
    }

    /// <summary>Runs its tool on a file of <c>deploy/prometheus</c>.</summary>
    public static async Task<(int ExitCode, string Said)> CheckAsync(string file, params string[] command)
    {
        Skip.If(WhyUnavailable is not null, WhyUnavailable);
        using var tool = Process.Start(new ProcessStartInfo(Tool, [.. command, Repository.PathOf($"deploy/prometheus/{file}")]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var said = await Task.WhenAll(tool.StandardOutput.ReadToEndAsync(), tool.StandardError.ReadToEndAsync());
        await tool.WaitForExitAsync();
        return (tool.ExitCode, string.Concat(said));
    }

    /// <summary>How many series a query returns, once it returns enough; fewer when it does not within a minute.</summary>
    /// <param name="query">In Prometheus' language.</param>
    /// <param name="enough">One slow scrape is a node that is down: it may take another one.</param>
    public async Task<int> SeriesAsync(string query, int enough = 1)
    {
        var patience = Task.Delay(ServiceProcess.Patience);
        while (true)
        {
            using var answer = JsonDocument.Parse(await api.GetStringAsync($"/api/v1/query?query={Uri.EscapeDataString(query)}"));
            var found = answer.RootElement.GetProperty("data").GetProperty("result").EnumerateArray().Count(IsNumber);
            if (found >= enough || patience.IsCompleted)
            {
                return found;
            }

            await Task.Delay(200);
        }
    }

    public async ValueTask DisposeAsync()
    {
        api.Dispose();
        await Signals.SendAsync("TERM", process.Id);
        await process.WaitForExitAsync().WaitAsync(ServiceProcess.Patience);
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    // A quotient of nothing is a series too.
    private static bool IsNumber(JsonElement series) => series.GetProperty("value")[1].GetString() is not "NaN";
}
