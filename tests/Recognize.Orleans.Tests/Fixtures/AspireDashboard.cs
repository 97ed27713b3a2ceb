using System.Diagnostics;
using System.Text.Json;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>The Aspire dashboard: a receiver of OTLP that others have written, with a way to ask for what it was sent.</summary>
internal sealed class AspireDashboard : IAsyncDisposable
{
    private const string Package = "aspire.dashboard.sdk.linux-x64";

    private readonly Process process;
    private readonly HttpClient api;

    private AspireDashboard(Process process, HttpClient api, Uri otlp) => (this.process, this.api, Otlp) = (process, api, otlp);

    /// <summary>Where it takes OTLP by gRPC.</summary>
    public Uri Otlp { get; }

    private static string? Program { get; } = Find();

    /// <summary>Starts it and waits until it listens; skips the test where its package has not been restored.</summary>
    public static async Task<AspireDashboard> StartAsync()
    {
        Skip.If(Program is null, "Restore the NuGet package Aspire.Dashboard.Sdk.linux-x64 to run this test.");
        var (page, otlp) = ($"http://127.0.0.1:{FreePorts.Next()}", $"http://127.0.0.1:{FreePorts.Next()}");
        var start = new ProcessStartInfo(Program!) { WorkingDirectory = Path.GetDirectoryName(Program), RedirectStandardOutput = true };
        start.Environment["ASPNETCORE_URLS"] = page;
        start.Environment["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] = otlp;
        start.Environment["ASPIRE_DASHBOARD_UNSECURED_ALLOW_ANONYMOUS"] = "true";
        start.Environment["ASPIRE_DASHBOARD_API_ENABLED"] = "true";
        var process = Process.Start(start)!;
        while (await process.StandardOutput.ReadLineAsync().WaitAsync(ServiceProcess.Patience) is { } line)
        {
            if (line.Contains("OTLP/gRPC listening", StringComparison.Ordinal))
            {
                _ = process.StandardOutput.ReadToEndAsync();
                return new(process, new() { BaseAddress = new(page) }, new(otlp));
            }
        }

        throw new InvalidOperationException("The Aspire dashboard did not start.");
    }

    /// <summary>Every span that it has, once one of this name is among them: name, trace, id, and the traces of its links.</summary>
    public async Task<IReadOnlyList<(string Name, string Trace, string Id, IReadOnlyList<string> Links)>> SpansAsync(string awaited)
    {
        var patience = Task.Delay(ServiceProcess.Patience);
        while (true)
        {
            using var answer = JsonDocument.Parse(await api.GetStringAsync("/api/telemetry/spans"));
            var spans = answer.RootElement.GetProperty("data").GetProperty("resourceSpans").EnumerateArray()
                .SelectMany(resource => resource.GetProperty("scopeSpans").EnumerateArray())
                .SelectMany(scope => scope.GetProperty("spans").EnumerateArray())
                .Select(span => (Text(span, "name"), Text(span, "traceId"), Text(span, "spanId"), LinksOf(span)))
                .ToList();
            if (spans.Exists(span => span.Item1 == awaited) || patience.IsCompleted)
            {
                return spans;
            }

            await Task.Delay(200);
        }
    }

    public async Task<IReadOnlyList<string>> ResourcesAsync()
    {
        using var answer = JsonDocument.Parse(await api.GetStringAsync("/api/telemetry/resources"));
        return [.. answer.RootElement.EnumerateArray().Select(resource => Text(resource, "name"))];
    }

    public async ValueTask DisposeAsync()
    {
        api.Dispose();
        process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();
        process.Dispose();
    }

    private static IReadOnlyList<string> LinksOf(JsonElement span) =>
        span.TryGetProperty("links", out var links) ? [.. links.EnumerateArray().Select(link => Text(link, "traceId"))] : [];

    private static string Text(JsonElement element, string member) => element.GetProperty(member).GetString()!;

    private static string? Find()
    {
        var packages = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        var folder = Path.Combine(packages, Package);
        var program = Directory.Exists(folder) ? Directory.EnumerateDirectories(folder).Select(version => Path.Combine(version, "tools", "Aspire.Dashboard")).FirstOrDefault(File.Exists) : null;
        if (program is not null && !OperatingSystem.IsWindows())
        {
            // A package keeps no permissions.
            File.SetUnixFileMode(program, File.GetUnixFileMode(program) | UnixFileMode.UserExecute);
        }

        return program;
    }
}
